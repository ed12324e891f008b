//! `#[derive(CacheKey)]`: the text of a struct is that of the tuple of its fields; an enum writes its variant first.
//!
//! All escaping is done by the tuples of the core.

use proc_macro2::{Ident, Span, TokenStream};
use quote::ToTokens;
use syn::ext::IdentExt;
use syn::spanned::Spanned;
use syn::{Data, DataEnum, DeriveInput, Error, Fields, Generics, Member, Type, parse_quote};

use crate::function::idents;
use crate::library;
use crate::names;

/// The longest tuple that is a key.
const LONGEST: usize = 12;

pub(crate) fn expand(input: DeriveInput) -> syn::Result<TokenStream> {
    let library = library::from_manifest();
    let key = emit!(#library::CacheKey);
    let (encode, decode, fields) = match &input.data {
        Data::Struct(data) => {
            let (encode, decode) = of_struct(&data.fields, &key);
            (encode, decode, vec![&data.fields])
        }
        Data::Enum(data) => {
            let (encode, decode) = of_enum(data, &key);
            (encode, decode, data.variants.iter().map(|variant| &variant.fields).collect())
        }
        Data::Union(data) => {
            let message = "`CacheKey` can't be derived for a union: which field is in use is not known; use an enum";
            return Err(Error::new(data.union_token.span, message));
        }
    };
    let name = &input.ident;
    let generics = bounded(name, input.generics.clone(), &fields, &key);
    let (own, types, bounds) = generics.split_for_impl();
    Ok(emit! {
        #[automatically_derived]
        #[allow(deprecated)]
        impl #own #key for #name #types #bounds {
            fn encode(&self, __out: &mut ::std::string::String) {
                #encode
            }

            fn decode(__text: &::core::primitive::str) -> ::core::option::Option<Self> {
                #decode
            }
        }
    })
}

fn of_struct(fields: &Fields, key: &TokenStream) -> (TokenStream, TokenStream) {
    let Some(parts) = Parts::new(fields) else {
        let decode = emit! {
            if __text.is_empty() { ::core::option::Option::Some(Self {}) } else { ::core::option::Option::None }
        };
        return (emit!(let _ = __out;), decode);
    };
    let Parts { members, locals, .. } = &parts;
    let (value, pattern) = (parts.value(), parts.pattern());
    let encode = emit! {
        let Self { #(#members: #locals),* } = self;
        #key::encode(#value, __out);
    };
    let decode = emit! {
        let #pattern = #key::decode(__text)?;
        ::core::option::Option::Some(Self { #(#members: #locals),* })
    };
    (encode, decode)
}

fn of_enum(data: &DataEnum, key: &TokenStream) -> (TokenStream, TokenStream) {
    if data.variants.is_empty() {
        return (emit!(let _ = __out; match *self {}), emit!(let _ = __text; ::core::option::Option::None));
    }
    let mut encode = TokenStream::new();
    let mut decode = TokenStream::new();
    for variant in &data.variants {
        let (name, tag) = (&variant.ident, variant.ident.unraw().to_string());
        match Parts::new(&variant.fields) {
            None => {
                encode.extend(emit!(Self::#name {} => #key::encode(&#tag, __out),));
                decode.extend(
                    emit!((#tag, ::core::option::Option::None) => ::core::option::Option::Some(Self::#name {}),),
                );
            }
            Some(parts) => {
                let Parts { members, locals, .. } = &parts;
                let (value, pattern) = (parts.value(), parts.pattern());
                encode.extend(emit! {
                    Self::#name { #(#members: #locals),* } => {
                        #key::encode(&#tag, __out);
                        __out.push('.');
                        #key::encode(#value, __out);
                    }
                });
                decode.extend(emit! {
                    (#tag, ::core::option::Option::Some(__text)) => {
                        let #pattern = #key::decode(__text)?;
                        ::core::option::Option::Some(Self::#name { #(#members: #locals),* })
                    }
                });
            }
        }
    }
    let encode = emit!(match self { #encode });
    let decode = emit! {
        let (__tag, __text) = match __text.split_once('.') {
            ::core::option::Option::Some((__tag, __text)) => (__tag, ::core::option::Option::Some(__text)),
            ::core::option::Option::None => (__text, ::core::option::Option::None),
        };
        let __tag: ::std::string::String = #key::decode(__tag)?;
        match (__tag.as_str(), __text) {
            #decode
            _ => ::core::option::Option::None,
        }
    };
    (encode, decode)
}

/// The fields of a struct or variant that has some.
struct Parts {
    members: Vec<Member>,
    locals: Vec<Ident>,
}

impl Parts {
    fn new(fields: &Fields) -> Option<Self> {
        let members: Vec<_> = fields.members().collect();
        let locals = (0..members.len()).map(|at| Ident::new(&format!("__{at}"), Span::mixed_site())).collect();
        (!members.is_empty()).then_some(Self { members, locals })
    }

    /// What is encoded: the one field itself, or a tuple of references.
    fn value(&self) -> TokenStream {
        match self.locals.as_slice() {
            [one] => emit!(#one),
            several => {
                let tuple = nested(several);
                emit!(&#tuple)
            }
        }
    }

    /// What is decoded, bound to the locals.
    fn pattern(&self) -> TokenStream {
        match self.locals.as_slice() {
            [one] => emit!(#one),
            several => nested(several),
        }
    }
}

/// A tuple, its end in a tuple of its own where it would be too long.
fn nested(locals: &[Ident]) -> TokenStream {
    if locals.len() <= LONGEST {
        return emit!((#(#locals),*));
    }
    let (front, rest) = locals.split_at(LONGEST - 1);
    let rest = nested(rest);
    emit!((#(#front,)* #rest))
}

/// What the fields are made of has to be keys: each type parameter among them, or its associated type; else the field's
/// own type, so that an error is shown there.
fn bounded(name: &Ident, mut generics: Generics, fields: &[&Fields], key: &TokenStream) -> Generics {
    let parameters: Vec<Ident> = generics.type_params().map(|parameter| parameter.ident.clone()).collect();
    let mut bounds: Vec<Type> = Vec::new();
    for field in fields.iter().flat_map(|fields| fields.iter()) {
        let (mut used, mut recursive) = (Vec::new(), false);
        idents(field.ty.to_token_stream(), &mut |ident| {
            recursive |= ident == *name || ident == "Self";
            if parameters.contains(&ident) {
                used.push(parse_quote!(#ident));
            }
        });
        if is_projection(&field.ty, &parameters) || (used.is_empty() && !recursive) {
            bounds.push(field.ty.clone());
        } else {
            bounds.append(&mut used);
        }
    }
    let mut seen = Vec::new();
    for bound in bounds {
        let text = bound.to_token_stream().to_string();
        if !seen.contains(&text) {
            let key = names::locate(key, bound.span());
            generics.make_where_clause().predicates.push(parse_quote!(#bound: #key));
            seen.push(text);
        }
    }
    generics
}

/// `T::Id`
fn is_projection(ty: &Type, parameters: &[Ident]) -> bool {
    let Type::Path(path) = ty else { return false };
    let first = path.path.segments.first().filter(|_| path.qself.is_none() && path.path.segments.len() > 1);
    first.is_some_and(|first| parameters.contains(&first.ident))
}
