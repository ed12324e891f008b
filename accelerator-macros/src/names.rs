//! Which names an expression of the attribute uses, and expressions that must leave their arguments to the body.

use proc_macro2::{Ident, Spacing, Span, TokenStream, TokenTree};
use quote::ToTokens;
use syn::punctuated::Punctuated;
use syn::spanned::Spanned;
use syn::{Expr, ExprArray, ExprCall, ExprMethodCall, ExprParen, ExprReference, ExprStruct, ExprTuple, UnOp};

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

/// Whether the name occurs at all, also where it is none of a variable.
pub(crate) fn mentions(tokens: &TokenStream, name: &str) -> bool {
    let is_it = |token: TokenTree| match token {
        TokenTree::Ident(ident) => ident == name,
        TokenTree::Group(group) => mentions(&group.stream(), name),
        TokenTree::Punct(_) | TokenTree::Literal(_) => false,
    };
    tokens.clone().into_iter().any(is_it) || uses(tokens.clone(), name).is_some()
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

/// Whether evaluating the expression calls nothing: then there is nothing on the way to it that lives on, such as the
/// guard of a lock.
pub(crate) fn is_plain(expr: &Expr) -> bool {
    match expr {
        Expr::Path(_) | Expr::Lit(_) => true,
        Expr::Field(field) => is_plain(&field.base),
        Expr::Index(index) => is_plain(&index.expr) && is_plain(&index.index),
        Expr::Unary(unary) => matches!(unary.op, UnOp::Deref(_)) && is_plain(&unary.expr),
        Expr::Reference(reference) => is_plain(&reference.expr),
        Expr::Paren(paren) => is_plain(&paren.expr),
        Expr::Group(group) => is_plain(&group.expr),
        _ => false,
    }
}

/// The expression as a value of its own, in a statement of its own: a place that is reached through calls is copied out
/// of there, and what the calls hold is let go.
fn apart(expr: &Expr, memoize: &TokenStream) -> TokenStream {
    if is_place(expr) {
        let memoize = locate(memoize, expr.span());
        emit!(at expr.span(); #memoize::owned(&(#expr)))
    } else {
        inside(expr, memoize)
    }
}

/// A statement that binds the expression to `local`, where evaluating it calls something, and the expression to be
/// borrowed behind that.
pub(crate) fn bind(expr: &Expr, local: &Ident, memoize: &TokenStream) -> (TokenStream, TokenStream) {
    if is_plain(expr) {
        return (TokenStream::new(), emit!(at expr.span(); &(#expr)));
    }
    let value = apart(expr, memoize);
    (emit!(let #local = #value;), emit!(at expr.span(); &#local))
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
        Expr::MethodCall(call) if call.method == "into" && is_place(&call.receiver) => {
            ExprMethodCall { receiver: Box::new(verbatim(&call.receiver)), ..call.clone() }.into_token_stream()
        }
        other => other.to_token_stream(),
    }
}

/// `Some`, `Key`, `Self`, `Kind::User`, `Arc::from`: what takes its arguments as they are.
fn is_constructor(func: &Expr) -> bool {
    let Expr::Path(path) = func else { return false };
    path.path
        .segments
        .last()
        .is_some_and(|last| last.ident == "from" || last.ident.to_string().starts_with(char::is_uppercase))
}
