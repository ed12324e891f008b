//! Which names an expression of the attribute uses, and expressions that must leave their arguments to the body.

use proc_macro2::{Ident, Spacing, Span, TokenStream, TokenTree};
use quote::ToTokens;
use syn::punctuated::Punctuated;
use syn::{Expr, ExprArray, ExprCall, ExprParen, ExprReference, ExprStruct, ExprTuple, UnOp};

/// The first token through which the variable `name` is used: an identifier, or a text such as `"{name}"` that a
/// formatting macro could take it from.
pub(crate) fn uses(tokens: TokenStream, name: &str) -> Option<TokenTree> {
    let tokens: Vec<_> = tokens.into_iter().collect();
    tokens.iter().enumerate().find_map(|(at, token)| match token {
        TokenTree::Ident(ident) if ident == name && is_variable(&tokens, at) => Some(token.clone()),
        TokenTree::Group(group) => uses(group.stream(), name),
        TokenTree::Literal(literal) => {
            let text = literal.to_string();
            let captures = [format!("{{{name}}}"), format!("{{{name}:")].iter().any(|form| text.contains(form));
            (captures && text.ends_with(['"', '#'])).then(|| token.clone())
        }
        _ => None,
    })
}

/// Not a field, a method, a part of a path, or the name of a field in a struct expression.
fn is_variable(tokens: &[TokenTree], at: usize) -> bool {
    let punct = |at: Option<usize>| match at.and_then(|at| tokens.get(at)) {
        Some(TokenTree::Punct(punct)) => Some((punct.as_char(), punct.spacing())),
        _ => None,
    };
    let (before, second) = (punct(at.checked_sub(1)), punct(at.checked_sub(2)));
    let after = punct(at.checked_add(1));
    match (second, before) {
        // `..name` is a range or the rest of a struct.
        (Some(('.', Spacing::Joint)), Some(('.', _))) => {}
        (_, Some(('.', _))) | (Some((':', Spacing::Joint)), Some((':', _))) => return false,
        _ => {}
    }
    !matches!(after, Some((':' | '!', _)))
        || (matches!(after, Some(('!', Spacing::Joint))) && matches!(punct(at.checked_add(2)), Some(('=', _))))
}

/// `self` under another name.
pub(crate) fn replace_self(tokens: TokenStream, own: &Ident) -> TokenStream {
    let tokens: Vec<_> = tokens.into_iter().collect();
    let replaced = tokens.iter().enumerate().map(|(at, token)| match token {
        TokenTree::Ident(ident) if ident == "self" && is_variable(&tokens, at) => TokenTree::Ident(own.clone()),
        TokenTree::Group(group) => {
            let mut inner = proc_macro2::Group::new(group.delimiter(), replace_self(group.stream(), own));
            inner.set_span(group.span());
            TokenTree::Group(inner)
        }
        other => other.clone(),
    });
    replaced.collect()
}

/// A path under which errors are shown at `span`; it keeps its meaning.
pub(crate) fn locate(path: &TokenStream, span: Span) -> TokenStream {
    let located = path.clone().into_iter().map(|mut token| {
        token.set_span(token.span().located_at(span));
        token
    });
    located.collect()
}

/// Whether the expression is the variable alone.
pub(crate) fn is_only(expr: &Expr, name: &str) -> bool {
    matches!(expr, Expr::Path(path) if path.path.is_ident(name))
}

/// Whether using the expression by value would move it out of somewhere.
fn is_place(expr: &Expr) -> bool {
    match expr {
        Expr::Path(_) | Expr::Field(_) | Expr::Index(_) => true,
        Expr::Unary(unary) => matches!(unary.op, UnOp::Deref(_)),
        Expr::Paren(paren) => is_place(&paren.expr),
        Expr::Group(group) => is_place(&group.expr),
        _ => false,
    }
}

/// The expression by value, its places copied: what they name stays with the body.
pub(crate) fn keep(expr: &Expr, memoize: &TokenStream) -> TokenStream {
    match expr {
        Expr::Reference(ExprReference { mutability: None, expr: inner, .. }) if is_place(inner) => {
            emit!(#memoize::owned(&#inner))
        }
        place if is_place(place) => emit!(#memoize::owned(&#place)),
        other => inside(other, memoize),
    }
}

/// The expression as something to be borrowed while nothing else happens.
pub(crate) fn lend(expr: &Expr, memoize: &TokenStream) -> TokenStream {
    if is_place(expr) { expr.to_token_stream() } else { inside(expr, memoize) }
}

/// The places inside of tuples, arrays and constructors.
fn inside(expr: &Expr, memoize: &TokenStream) -> TokenStream {
    let verbatim = |inner: &Expr| Expr::Verbatim(keep(inner, memoize));
    let all = |list: &Punctuated<Expr, _>| list.iter().map(verbatim).collect::<Punctuated<Expr, syn::Token![,]>>();
    match expr {
        Expr::Tuple(tuple) => {
            let mut elems = all(&tuple.elems);
            // `(a,)` is a tuple because of its comma.
            if elems.len() == 1 {
                elems.push_punct(syn::Token![,](Span::mixed_site()));
            }
            ExprTuple { elems, ..tuple.clone() }.into_token_stream()
        }
        Expr::Array(array) => ExprArray { elems: all(&array.elems), ..array.clone() }.into_token_stream(),
        Expr::Paren(paren) => ExprParen { expr: Box::new(verbatim(&paren.expr)), ..paren.clone() }.into_token_stream(),
        Expr::Group(group) => inside(&group.expr, memoize),
        Expr::Struct(literal) => {
            let mut literal: ExprStruct = literal.clone();
            for field in &mut literal.fields {
                field.expr = verbatim(&field.expr);
                field.colon_token.get_or_insert_with(Default::default);
            }
            literal.into_token_stream()
        }
        Expr::Call(call) if is_constructor(&call.func) => {
            ExprCall { args: all(&call.args), ..call.clone() }.into_token_stream()
        }
        other => other.to_token_stream(),
    }
}

/// `Some`, `Key`, `Self`, `Kind::User`.
fn is_constructor(func: &Expr) -> bool {
    let Expr::Path(path) = func else { return false };
    path.path.segments.last().is_some_and(|last| last.ident.to_string().starts_with(char::is_uppercase))
}
