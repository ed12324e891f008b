//! `name = value, name = value`, as written; what the names mean is checked elsewhere.

use proc_macro2::{Ident, TokenStream, TokenTree};
use syn::ext::IdentExt;
use syn::parse::{ParseStream, Parser};
use syn::{Error, Expr, Token};

use crate::errors::Errors;

pub(crate) struct Argument {
    pub(crate) name: Ident,
    pub(crate) value: Expr,
}

/// All arguments that can be read; what can't be read is an error, and the reading goes on behind it.
pub(crate) fn parse(tokens: TokenStream, macro_name: &str, errors: &mut Errors) -> Vec<Argument> {
    let read = |input: ParseStream<'_>| {
        let mut arguments = Vec::new();
        while !input.is_empty() {
            let argument = argument(input, macro_name).and_then(|argument| {
                arguments.push(argument);
                end(input)
            });
            if let Err(error) = argument {
                errors.push(error);
                skip(input);
            }
        }
        Ok(arguments)
    };
    match read.parse2(tokens) {
        Ok(arguments) => arguments,
        Err(error) => {
            errors.push(error);
            Vec::new()
        }
    }
}

fn argument(input: ParseStream<'_>, macro_name: &str) -> syn::Result<Argument> {
    let start = input.fork();
    let Ok(name) = input.call(Ident::parse_any) else {
        let message = format!("arguments are written `name = value`: `#[{macro_name}(cache = self.cache, ...)]`");
        return Err(start.error(message));
    };
    if !input.peek(Token![=]) || input.peek(Token![==]) {
        return Err(Error::new(name.span(), format!("`{name}` has no value here: write `{name} = ...`")));
    }
    let equals: Token![=] = input.parse()?;
    if input.is_empty() || input.peek(Token![,]) {
        return Err(Error::new(equals.span, format!("the value of `{name}` is missing: write `{name} = ...`")));
    }
    let value = input.parse().map_err(|error: Error| {
        Error::new(error.span(), format!("the value of `{name}` is not an expression: {error}"))
    })?;
    Ok(Argument { name, value })
}

fn end(input: ParseStream<'_>) -> syn::Result<()> {
    if input.is_empty() {
        return Ok(());
    }
    if !input.peek(Token![,]) {
        return Err(input.error("expected a `,` between two arguments"));
    }
    input.parse::<Token![,]>().map(drop)
}

/// To behind the next comma that stands before another argument.
fn skip(input: ParseStream<'_>) {
    while !input.is_empty() {
        let comma = input.parse::<Option<Token![,]>>();
        if matches!(comma, Ok(Some(_))) {
            let ahead = input.fork();
            if ahead.is_empty() || (ahead.call(Ident::parse_any).is_ok() && ahead.peek(Token![=])) {
                return;
            }
            continue;
        }
        if input.parse::<TokenTree>().is_err() {
            return;
        }
    }
}
