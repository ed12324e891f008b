//! What each macro takes, and the checks of what it was given.

use proc_macro2::{Ident, Span, TokenStream};
use quote::quote;
use syn::spanned::Spanned;
use syn::{Expr, ExprLit, Lit};

use crate::arguments::{self, Argument};
use crate::errors::Errors;
use crate::{names, suggest};

pub(crate) struct Macro {
    pub(crate) name: &'static str,
    required: &'static [&'static str],
    optional: &'static [&'static str],
    example: &'static str,
}

pub(crate) static CACHEABLE: Macro = Macro {
    name: "cacheable",
    required: &["cache", "key"],
    optional: &["allow_stale", "cache_none", "on_cache_error", "ttl", "condition", "crate"],
    example: "cache = self.cache, key = id",
};
pub(crate) static CACHEABLE_BATCH: Macro = Macro {
    name: "cacheable_batch",
    required: &["cache", "keys"],
    optional: &["allow_stale", "cache_none", "on_cache_error", "ttl", "condition", "crate"],
    example: "cache = self.cache, keys = ids",
};
pub(crate) static CACHE_PUT: Macro = Macro {
    name: "cache_put",
    required: &["cache", "key", "value"],
    optional: &["on_cache_error", "ttl", "condition", "crate"],
    example: "cache = self.cache, key = user.id, value = user.clone()",
};
pub(crate) static CACHE_EVICT: Macro = Macro {
    name: "cache_evict",
    required: &["cache", "key"],
    optional: &["before", "on_cache_error", "condition", "crate"],
    example: "cache = self.cache, key = id",
};
pub(crate) static CACHE_EVICT_BATCH: Macro = Macro {
    name: "cache_evict_batch",
    required: &["cache", "keys"],
    optional: &["before", "on_cache_error", "condition", "crate"],
    example: "cache = self.cache, keys = ids",
};

static ALL: [&Macro; 5] = [&CACHEABLE, &CACHEABLE_BATCH, &CACHE_PUT, &CACHE_EVICT, &CACHE_EVICT_BATCH];

impl Macro {
    fn takes(&self, name: &str) -> bool {
        self.required.contains(&name) || self.optional.contains(&name)
    }

    fn names(&self) -> impl Iterator<Item = &'static str> {
        self.required.iter().chain(self.optional).copied()
    }
}

/// The arguments of an attribute, checked as far as that goes without types.
pub(crate) struct Options {
    given: Vec<Argument>,
}

impl Options {
    pub(crate) fn parse(of: &Macro, tokens: TokenStream, errors: &mut Errors) -> Self {
        let given = arguments::parse(tokens, of.name, errors);
        // What could not be read is no reason to call it missing as well.
        let mut complete = errors.is_empty();
        let mut known: Vec<Argument> = Vec::new();
        for argument in given {
            let name = argument.name.to_string();
            if !of.takes(&name) {
                errors.on(&argument.name, unknown(of, &name));
                complete = false;
            } else if known.iter().any(|other| other.name == name) {
                errors.on(&argument.name, format!("`{name}` is given twice: keep one"));
            } else {
                if let Err(message) = check(&name, &argument.value) {
                    errors.on(&argument.value, message);
                }
                known.push(argument);
            }
        }
        let options = Self { given: known };
        let missing: Vec<_> = of.required.iter().filter(|name| options.get(name).is_none()).collect();
        if complete && !missing.is_empty() {
            let names = missing.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ");
            let (name, example) = (of.name, of.example);
            errors.at(Span::call_site(), format!("`{name}` needs {names}: write `#[{name}({example})]`"));
        }
        options
    }

    pub(crate) fn get(&self, name: &str) -> Option<&Expr> {
        self.given.iter().find(|argument| argument.name == name).map(|argument| &argument.value)
    }

    /// `&(value)`. Without the argument there are errors, and nothing is expanded.
    pub(crate) fn borrowed(&self, name: &str, by_value: impl FnOnce(&Expr) -> TokenStream) -> TokenStream {
        let Some(value) = self.get(name) else { return TokenStream::new() };
        let tokens = by_value(value);
        emit!(at value.span(); &(#tokens))
    }

    /// What binds the argument to `local`, where that is needed, and how to borrow it then; see `names::bind`.
    pub(crate) fn bound(&self, name: &str, memoize: &TokenStream) -> (TokenStream, TokenStream) {
        let local = Ident::new(&format!("__{name}"), Span::mixed_site());
        self.get(name).map(|value| names::bind(value, &local, memoize)).unwrap_or_default()
    }

    /// Says that `__key` has the type of the keys that `keys` stands for, where its own expression may leave that open.
    pub(crate) fn typed(&self, keys: &TokenStream) -> TokenStream {
        match self.get("key").filter(|key| !names::is_plain(key)) {
            Some(key) => emit!(at key.span(); #keys.are(&__key);),
            None => TokenStream::new(),
        }
    }

    pub(crate) fn is_true(&self, name: &str) -> bool {
        matches!(self.get(name), Some(Expr::Lit(ExprLit { lit: Lit::Bool(yes), .. })) if yes.value)
    }

    /// Where an error about an argument is shown, and `path` at that place.
    pub(crate) fn locate(&self, name: &str, path: &TokenStream) -> (Span, TokenStream) {
        let span = self.get(name).map_or_else(Span::mixed_site, Spanned::span);
        (span, names::locate(path, span))
    }

    /// The same for an error about the function's return type.
    pub(crate) fn blame(&self, ret: &TokenStream, path: &TokenStream) -> (Span, TokenStream) {
        let first = || ret.clone().into_iter().next().map(|token| token.span());
        let span = self.propagate().or_else(first).unwrap_or_else(Span::mixed_site);
        (span, names::locate(path, span))
    }

    /// The span of `"propagate"`, where it is given.
    pub(crate) fn propagate(&self) -> Option<Span> {
        match self.get("on_cache_error") {
            Some(Expr::Lit(ExprLit { lit: Lit::Str(text), .. })) if text.value() == "propagate" => Some(text.span()),
            _ => None,
        }
    }

    /// `.name(value)` for each of the given.
    pub(crate) fn calls(&self, names: &[&str]) -> TokenStream {
        let given = self.given.iter().filter(|argument| names.iter().any(|name| argument.name == name));
        given.map(|Argument { name, value }| quote!(.#name(#value))).collect()
    }
}

fn unknown(of: &Macro, name: &str) -> String {
    let takers: Vec<_> =
        ALL.iter().filter(|other| other.takes(name)).map(|other| format!("`{}`", other.name)).collect();
    let own = of.name;
    match (name, of.takes("keys")) {
        ("key", true) => return format!("`{own}` takes many keys: write `keys = ...`"),
        ("keys", false) if own == CACHE_PUT.name => return format!("`{own}` takes one key: write `key = ...`"),
        ("keys", false) => return format!("`{own}` takes one key: write `key = ...`, or use `{own}_batch`"),
        _ => {}
    }
    if !takers.is_empty() {
        return format!("`{own}` has no `{name}`: it belongs to {}", takers.join(", "));
    }
    match suggest::closest(name, of.names()) {
        Some(meant) => format!("`{own}` has no `{name}`: did you mean `{meant}`?"),
        None => {
            let names: Vec<_> = of.names().map(|name| format!("`{name}`")).collect();
            format!("`{own}` has no `{name}`: it takes {}", names.join(", "))
        }
    }
}

/// What can be said of a value without types.
fn check(name: &str, value: &Expr) -> Result<(), String> {
    let literal = match value {
        Expr::Lit(ExprLit { lit, .. }) => Some(lit),
        _ => None,
    };
    match (name, literal) {
        ("allow_stale" | "cache_none" | "before", Some(Lit::Bool(_))) => Ok(()),
        ("allow_stale" | "cache_none", _) => Err(format!(
            "`{name}` is `true` or `false`, decided here: what depends on the call goes into `condition = ...`"
        )),
        ("before", _) => Err("`before` is `true` or `false`, decided here".to_owned()),
        ("on_cache_error", Some(Lit::Str(text))) => match text.value().as_str() {
            "ignore" | "propagate" => Ok(()),
            other => {
                let meant = suggest::closest(other, ["ignore", "propagate"]);
                let hint = meant.map(|meant| format!(": did you mean \"{meant}\"?")).unwrap_or_default();
                Err(format!("`on_cache_error` is \"ignore\" or \"propagate\"{hint}"))
            }
        },
        ("on_cache_error", _) => Err("`on_cache_error` is \"ignore\" or \"propagate\", in quotes".to_owned()),
        ("ttl", Some(_)) => Err("`ttl` is a `Duration`: write for example `ttl = Duration::from_secs(60)`".to_owned()),
        ("condition", Some(lit)) if !matches!(lit, Lit::Bool(_)) => {
            Err("`condition` is a `bool` expression: write for example `condition = id > 0`".to_owned())
        }
        ("cache", Some(_)) => {
            Err("`cache` is an expression, without quotes: write for example `cache = self.cache`".to_owned())
        }
        ("keys", Some(_)) => Err("`keys` is an expression, without quotes: write for example `keys = ids`".to_owned()),
        ("crate", _) if !matches!(value, Expr::Path(_)) => {
            Err("`crate` is the path of the library, without quotes: `crate = ::accelerator`".to_owned())
        }
        _ => Ok(()),
    }
}
