//! `cacheable`.

use proc_macro2::TokenStream;
use quote::ToTokens;
use syn::ReturnType;

use crate::errors::Errors;
use crate::function::Function;
use crate::options::{CACHEABLE, Options};
use crate::scope;

pub(crate) fn expand(options: &Options, function: Function, memoize: &TokenStream) -> TokenStream {
    let (bind_cache, cache) = options.bound("cache", memoize);
    let (bind_key, key) = options.bound("key", memoize);
    let (at, located) = options.locate("cache", memoize);
    let typed = options.typed(&emit!(at at; #located::keys_of(#cache)));
    let bind = function.localize(emit!(#bind_cache #bind_key #typed));
    let ask = function.localize(emit!(at at; #located::hit_or_begin(#cache, #key, &__read)));
    let (at, located) = options.blame(&function.ret, memoize);
    // A hit leaves before there is a future.
    let hit = emit!(at at; match __begun.hit() {
        ::core::ops::ControlFlow::Break(__out) => break '__cached __out,
        ::core::ops::ControlFlow::Continue(__begun) => __begun,
    });
    let begin = emit!(match #ask {
        ::core::ops::ControlFlow::Break(__begun) => #hit,
        ::core::ops::ControlFlow::Continue(__begin) => __begin.await,
    });
    let begin = let_go(&bind, begin);
    let (settings, begun) = begin_or(options, &function, &begin, &emit!(#memoize::bypass()), memoize);
    let share = sharing(memoize, &function.ret);
    let body = function.future(Some(Default::default()), &TokenStream::new());
    // Whoever leads awaits the body here: a state machine more would be moved and polled for nothing.
    let led = emit!(at at; #located::hand_in(__lead.into_ticket(), __out, &__read, &__share));
    let call = emit!(at at; #located::cacheable(__begun, __read, __share, __body).await);
    function.with_body(emit!('__cached: {
        #settings #begun
        let __share = #share;
        let __body = move || #body;
        match __begun.lead() {
            ::core::ops::ControlFlow::Break(mut __lead) => {
                let __out = #memoize::alive(&mut __lead, ::core::pin::pin!(__body())).await;
                #led
            }
            ::core::ops::ControlFlow::Continue(__begun) => #call,
        }
    }))
}

/// What the attribute's expressions hold ends before the wait: they are bound in statements of their own.
pub(crate) fn let_go(bind: &TokenStream, asked: TokenStream) -> TokenStream {
    if bind.is_empty() {
        return asked;
    }
    emit!({
        #bind
        let __asked = #asked;
        __asked
    })
}

/// `let __read = ..;`, and `let __begun = ..;` under the condition.
pub(crate) fn begin_or(
    options: &Options,
    function: &Function,
    begin: &TokenStream,
    bypass: &TokenStream,
    memoize: &TokenStream,
) -> (TokenStream, TokenStream) {
    let calls = function.localize(options.calls(&["allow_stale", "cache_none", "ttl"]));
    let propagate = options.propagate().map(|_| emit!(.propagate()));
    let settings = emit!(let __read = #memoize::Read::new() #calls #propagate;);
    let begun = match options.get("condition") {
        None => emit!(let __begun = #begin;),
        Some(condition) => {
            let condition = function.localize(condition.to_token_stream());
            emit! {
                let __condition: ::core::primitive::bool = #condition;
                let __begun = if __condition { #begin } else { #bypass };
            }
        }
    };
    (settings, begun)
}

/// How failures of `ret` reach those who wait; see `__private::sharing`.
pub(crate) fn sharing(memoize: &TokenStream, ret: &TokenStream) -> TokenStream {
    emit! {{
        use #memoize::sharing::{AsClone as _, AsError as _, Unshared as _};
        (&&&#memoize::sharing::Sharing::<#ret>::new()).share()
    }}
}

/// A read must return something.
pub(crate) fn check(macro_name: &str, function: &Function, errors: &mut Errors) {
    let name = &function.sig.ident;
    let is_unit = matches!(function.sig.output, ReturnType::Default) || function.ret.to_string() == "()";
    if is_unit {
        let example =
            if macro_name == CACHEABLE.name { "Result<Option<V>, E>" } else { "Result<HashMap<K, Option<V>>, E>" };
        let message = format!("`{name}` returns nothing that could be cached: write for example `-> {example}`");
        errors.push(syn::Error::new(name.span(), message));
    }
}

/// `result` does not exist before the body.
pub(crate) fn check_result(options: &Options, function: &Function, names: &[&str], errors: &mut Errors) {
    let is_argument = function.bindings().iter().any(|(ident, _)| ident == "result");
    for name in names {
        if let Some(value) = options.get(name)
            && let Some(token) = scope::free(value, "result")
            && !is_argument
        {
            errors.push(syn::Error::new(
                token.span(),
                format!("`{name}` is needed before the body runs: there is no `result` yet"),
            ));
        }
    }
}
