//! The annotated function: what the macros need to know of it, and how it is put together again.
//!
//! The body is kept as tokens: what is inside is the compiler's business.

use proc_macro2::{Delimiter, Group, Ident, TokenStream, TokenTree};
use quote::{ToTokens, quote};
use syn::parse::{Parse, ParseStream};
use syn::{
    Attribute, FnArg, Pat, PatIdent, Receiver, ReceiverKind, ReturnType, Safety, Signature, Token, Type, Visibility,
};

use crate::boxed::{self, Boxed};
use crate::errors::Errors;

pub(crate) struct Function {
    attrs: Vec<Attribute>,
    vis: Visibility,
    /// `default`, which is no keyword.
    default: Option<Ident>,
    pub(crate) sig: Signature,
    pub(crate) kind: Kind,
    /// What the body returns.
    pub(crate) ret: TokenStream,
    pub(crate) body: TokenStream,
}

pub(crate) enum Kind {
    Async,
    /// What `#[async_trait]` has made of an `async fn`.
    Boxed(Boxed),
}

/// How an argument is passed, as far as its type says.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Passing {
    /// By `&`: it can be used after the body.
    Shared,
    /// By `&mut`.
    Mutable,
    /// By value, or in a type that is not written as a reference.
    Owned,
}

/// A function item as it is written.
struct Item {
    attrs: Vec<Attribute>,
    vis: Visibility,
    default: Option<Ident>,
    sig: Signature,
    body: Option<TokenStream>,
}

impl Parse for Item {
    fn parse(input: ParseStream<'_>) -> syn::Result<Self> {
        let mut attrs = input.call(Attribute::parse_outer)?;
        let vis = input.parse()?;
        let is_default = input.fork().parse::<Ident>().is_ok_and(|ident| ident == "default");
        let default = if is_default { Some(input.parse()?) } else { None };
        let sig = input.parse()?;
        if input.peek(Token![;]) {
            input.parse::<Token![;]>()?;
            return Ok(Self { attrs, vis, default, sig, body: None });
        }
        let content;
        let brace = syn::braced!(content in input);
        // They are not allowed where the body goes.
        let inner = content.call(Attribute::parse_inner)?;
        attrs.extend(inner.into_iter().map(|attr| Attribute { style: syn::AttrStyle::Outer, ..attr }));
        let mut body = Group::new(Delimiter::Brace, content.parse()?);
        body.set_span(brace.span.join());
        Ok(Self { attrs, vis, default, sig, body: Some(TokenTree::Group(body).into()) })
    }
}

impl Function {
    /// `None`: there are errors.
    pub(crate) fn parse(macro_name: &str, item: TokenStream, errors: &mut Errors) -> Option<Self> {
        if !is_function(item.clone()) {
            errors.on(item, format!("`#[{macro_name}]` goes on an `async fn`"));
            return None;
        }
        let Item { attrs, vis, default, sig, body } = match syn::parse2(item) {
            Ok(item) => item,
            Err(error) => {
                errors.push(error);
                return None;
            }
        };
        let Some(body) = body else {
            errors.on(&sig, format!("`{}` has no body: put `#[{macro_name}]` on its implementation", sig.ident));
            return None;
        };
        refuse(macro_name, &sig, errors);
        let (kind, ret, body) = if sig.asyncness.is_some() {
            let ret = match &sig.output {
                ReturnType::Default => emit!(()),
                ReturnType::Type(_, ty) => ty.to_token_stream(),
            };
            (Kind::Async, ret, body)
        } else if let Some((boxed, ret, body)) = boxed::find(&sig, body) {
            (Kind::Boxed(boxed), ret, body)
        } else {
            let name = &sig.ident;
            errors.on(sig.fn_token, format!("`#[{macro_name}]` needs an `async fn`: write `async fn {name}`"));
            return None;
        };
        check_return(&sig, &ret, errors);
        Some(Self { attrs, vis, default, sig, kind, ret, body })
    }

    /// An expression of the attribute as it is written in the place of the body.
    pub(crate) fn localize(&self, tokens: TokenStream) -> TokenStream {
        match &self.kind {
            Kind::Async => tokens,
            Kind::Boxed(boxed) => boxed.localize(tokens),
        }
    }

    /// The arguments that have a name, in order.
    pub(crate) fn arguments(&self) -> impl Iterator<Item = (&PatIdent, &Type)> {
        self.sig.inputs.iter().filter_map(|input| match input {
            FnArg::Typed(typed) => match &*typed.pat {
                Pat::Ident(pat) => Some((pat, &*typed.ty)),
                _ => None,
            },
            FnArg::Receiver(_) => None,
        })
    }

    /// All that the body could move away: the names that the arguments bind, and `self`.
    pub(crate) fn bindings(&self) -> Vec<(Ident, Passing)> {
        let mut found = Vec::new();
        for input in &self.sig.inputs {
            match input {
                FnArg::Receiver(receiver) => found.push((receiver.self_token.into(), passing_of_self(receiver))),
                FnArg::Typed(typed) => {
                    let passing = passing(&typed.ty);
                    idents(typed.pat.to_token_stream(), &mut |ident| found.push((ident, passing)));
                }
            }
        }
        found
    }

    /// The body as a future of its own that starts with other statements. Its types are inferred as they would be in an
    /// `async fn`: the first `return` says which type is meant, and the `let` is a place to coerce to it.
    pub(crate) fn future(&self, capture: Option<Token![move]>, first: &TokenStream) -> TokenStream {
        let (ret, body) = (&self.ret, &self.body);
        emit! {
            async #capture {
                #first
                if let ::core::option::Option::Some(__ret) = ::core::option::Option::None::<#ret> {
                    return __ret;
                }
                #[allow(clippy::diverging_sub_expression)]
                let __ret: #ret = #body;
                #[allow(unreachable_code)]
                __ret
            }
        }
    }

    /// Takes the `mut` of an argument away, as the expansion binds it once more, and answers it.
    pub(crate) fn freeze(&mut self, name: &Ident) -> Option<Token![mut]> {
        let mut found = None;
        for input in &mut self.sig.inputs {
            if let FnArg::Typed(typed) = input
                && let Pat::Ident(pat) = &mut *typed.pat
                && pat.ident == *name
            {
                found = pat.mutability.take();
            }
        }
        match &mut self.kind {
            Kind::Async => found,
            Kind::Boxed(boxed) => boxed.freeze(name).or(found),
        }
    }

    /// The function with other statements in the place of its body.
    pub(crate) fn with_body(self, statements: TokenStream) -> TokenStream {
        let Self { attrs, vis, default, sig, kind, .. } = self;
        let body = match kind {
            Kind::Async => quote!({ #statements }),
            Kind::Boxed(boxed) => boxed.with_body(statements),
        };
        quote!(#(#attrs)* #vis #default #sig #body)
    }
}

/// Whether the item starts as functions do.
fn is_function(item: TokenStream) -> bool {
    let start = |input: ParseStream<'_>| {
        input.call(Attribute::parse_outer)?;
        input.parse::<Visibility>()?;
        let mut is_function = false;
        while let Ok(TokenTree::Ident(ident)) = input.parse() {
            is_function = ident == "fn";
            if !["default", "const", "async", "unsafe", "safe", "extern"].iter().any(|word| ident == word) {
                break;
            }
            input.parse::<Option<syn::LitStr>>()?;
        }
        input.parse::<TokenStream>()?;
        Ok(is_function)
    };
    syn::parse::Parser::parse2(start, item).unwrap_or(false)
}

fn refuse(macro_name: &str, sig: &Signature, errors: &mut Errors) {
    if let Safety::Unsafe(word) = &sig.safety {
        errors
            .on(word, format!("`#[{macro_name}]` does not go on an `unsafe fn`: call the unsafe one from a safe one"));
    }
    if let Some(word) = &sig.constness {
        errors.on(word, format!("`#[{macro_name}]` does not go on a `const fn`: a cache is asked at run time"));
    }
    if let Some(abi) = &sig.abi {
        errors.on(abi, format!("`#[{macro_name}]` does not go on an `extern fn`"));
    }
}

fn check_return(sig: &Signature, ret: &TokenStream, errors: &mut Errors) {
    let mut opaque = false;
    idents(ret.clone(), &mut |ident| opaque |= ident == "impl");
    if opaque {
        let name = &sig.ident;
        errors.on(ret, format!("`{name}` returns an `impl Trait`, which a cache can't hold: name the type"));
    }
}

/// All identifiers in tokens, in groups as well.
pub(crate) fn idents(tokens: TokenStream, each: &mut impl FnMut(Ident)) {
    for token in tokens {
        match token {
            TokenTree::Ident(ident) => each(ident),
            TokenTree::Group(group) => idents(group.stream(), each),
            TokenTree::Punct(_) | TokenTree::Literal(_) => {}
        }
    }
}

pub(crate) fn passing(ty: &Type) -> Passing {
    match ty {
        Type::Reference(reference) if reference.mutability.is_some() => Passing::Mutable,
        Type::Reference(_) => Passing::Shared,
        Type::Group(group) => passing(&group.elem),
        Type::Paren(paren) => passing(&paren.elem),
        _ => Passing::Owned,
    }
}

fn passing_of_self(receiver: &Receiver) -> Passing {
    match &receiver.kind {
        ReceiverKind::Reference(_, _, None) => Passing::Shared,
        ReceiverKind::Reference(_, _, Some(_)) => Passing::Mutable,
        ReceiverKind::Typed(_, ty) => passing(ty),
        _ => Passing::Owned,
    }
}
