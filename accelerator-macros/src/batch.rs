//! `cacheable_batch`: the body gets the missing keys in the place of all keys.

use proc_macro2::{Ident, TokenStream};
use quote::ToTokens;
use syn::spanned::Spanned;
use syn::{Expr, PatIdent, Token, Type};

use crate::errors::Errors;
use crate::function::{self, Function, Passing};
use crate::names;
use crate::options::Options;
use crate::read;

/// Where the keys are, and so where the missing ones go.
pub(crate) enum Keys {
    /// `keys = ids`, an argument.
    Argument { pat: PatIdent, ty: Type },
    /// `keys = request.ids`, a field of an argument taken by value.
    Field { pat: PatIdent, path: Expr },
}

impl Keys {
    pub(crate) fn find(options: &Options, function: &Function, errors: &mut Errors) -> Option<Self> {
        let given = options.get("keys")?;
        let keys = bare(given);
        if matches!(keys, Expr::Lit(_)) {
            // That is said already.
            return None;
        }
        let Some(root) = root(keys) else {
            errors.on(
                given,
                "`keys` must name where the keys are, so that the body can get the missing ones there: write an \
                 argument such as `keys = ids`, or a field of one taken by value such as `keys = request.ids`",
            );
            return None;
        };
        let argument = function.arguments().find(|(pat, _)| pat.ident == *root);
        let Some((pat, ty)) = argument.map(|(pat, ty)| (pat.clone(), ty.clone())) else {
            errors.push(syn::Error::new(root.span(), not_an_argument(root, function)));
            return None;
        };
        if pat.by_ref.is_some() || pat.subpat.is_some() {
            let message = format!("`{root}` is bound by a pattern: take the keys as a plain argument `{root}: Vec<K>`");
            errors.push(syn::Error::new(root.span(), message));
            return None;
        }
        if matches!(keys, Expr::Path(_)) {
            return match mistyped(&ty) {
                None => Some(Self::Argument { pat, ty }),
                Some(what) => {
                    let message = format!(
                        "`keys` in {what} can't be bound again to the missing ones: take `{root}` as `Vec<K>`, \
                         `&[K]` or `&Vec<K>`"
                    );
                    errors.on(&ty, message);
                    None
                }
            };
        }
        if function::passing(&ty) == Passing::Owned {
            return Some(Self::Field { pat, path: keys.clone() });
        }
        let message = format!(
            "`{}` is behind a reference, where the missing keys can't be put: take `{root}` by value, or the keys as \
             an argument of their own, `ids: &[K]`",
            keys.to_token_stream().to_string().replace(' ', ""),
        );
        errors.on(given, message);
        None
    }

    fn root(&self) -> &Ident {
        match self {
            Self::Argument { pat, .. } | Self::Field { pat, .. } => &pat.ident,
        }
    }
}

pub(crate) fn expand(options: &Options, keys: &Keys, mut function: Function, memoize: &TokenStream) -> TokenStream {
    let (bind, cache) = options.bound("cache", memoize);
    let bind = function.localize(bind);
    let all = options.borrowed("keys", |keys| bare(keys).to_token_stream());
    let (at, located) = options.locate("cache", memoize);
    let (ret, returned) = options.blame(&function.ret, memoize);
    let answer = emit!(at ret; |__hits| __hits.answer());
    let ask = function.localize(emit!(at at; #located::hits_or_begin(#cache, #all, &__read, #answer).await));
    let begin = emit!(match #ask {
        ::core::ops::ControlFlow::Break(__out) => break '__cached __out,
        ::core::ops::ControlFlow::Continue(__begun) => __begun,
    });
    let begin = read::let_go(&bind, begin);
    let bypass = function.localize(emit!(#memoize::bypass_batch(#all)));
    let (settings, begun) = read::begin_or(options, &function, &begin, &bypass, memoize);
    let share = read::sharing(memoize, &function.ret);
    let mutability = function.freeze(keys.root());
    let (repeat, taken) = repeating(keys, &function, memoize);
    let again = again(keys, mutability, memoize);
    let body = function.future(Some(Default::default()), &emit!(#taken #again));
    let body = emit!(move |mut __missing| #body);
    let call = emit!(at ret; #returned::cacheable_batch_in_rounds(__begun, __read, #share, __repeat, #body).await);
    function.with_body(emit!('__cached: { #settings #begun let __repeat = #repeat; #call }))
}

/// Whether the body can be copied, told by the arguments that it takes along; see `__private::repeat`. And a statement that
/// makes it take along all of each, not a part that may be copied or not when the argument is the other.
fn repeating(keys: &Keys, function: &Function, memoize: &TokenStream) -> (TokenStream, TokenStream) {
    let is_bound_again = |name: &Ident| matches!(keys, Keys::Argument { pat, .. } if pat.ident == *name);
    let names = function.bindings().into_iter().filter(|(name, _)| !is_bound_again(name));
    let names = names.map(|(name, _)| function.localize(name.into_token_stream()));
    let taken: Vec<_> = names.filter(|name| names::mentions(&function.body, &name.to_string())).collect();
    let repeat = emit! {{
        use #memoize::repeat::{AsClone as _, AsIs as _};
        (&&#memoize::repeat::Arguments::new() #(.and(&#taken))*).repeat()
    }};
    (repeat, emit!(#(let _ = &#taken;)*))
}

/// Binds the argument once more, with the missing keys.
fn again(keys: &Keys, mutability: Option<Token![mut]>, memoize: &TokenStream) -> TokenStream {
    match keys {
        Keys::Argument { pat, ty } => {
            let (ident, mut ty) = (&pat.ident, ty.clone());
            while let Type::Group(group) = ty {
                ty = *group.elem;
            }
            if let Type::Reference(reference) = &mut ty {
                // They live in the body, not as long as the argument did.
                reference.lifetime = None;
            }
            let memoize = names::locate(memoize, ty.span());
            let rebind = emit!(at ty.span(); #memoize::Rebind::rebind(&mut __missing));
            // A body may do without the keys.
            emit!(#[allow(unused_variables)] let #mutability #ident: #ty = #rebind;)
        }
        Keys::Field { pat, path } => {
            let root = &pat.ident;
            let memoize = names::locate(memoize, path.span());
            let rebind = emit!(at path.span(); #memoize::Rebind::rebind(&mut __missing));
            emit!(let mut #root = #root; #path = #rebind;)
        }
    }
}

/// Without what does not change the place.
fn bare(expr: &Expr) -> &Expr {
    match expr {
        Expr::Reference(reference) if reference.mutability.is_none() => bare(&reference.expr),
        Expr::Paren(paren) => bare(&paren.expr),
        Expr::Group(group) => bare(&group.expr),
        other => other,
    }
}

/// `a` of `a`, `a.b`, `a.b.0`.
fn root(expr: &Expr) -> Option<&Ident> {
    match expr {
        Expr::Path(path) => path.path.get_ident(),
        Expr::Field(field) => root(&field.base),
        _ => None,
    }
}

fn not_an_argument(root: &Ident, function: &Function) -> String {
    if root == "self" {
        return "`self` stays with the body as it is: take the keys as an argument, `ids: &[K]` or `ids: Vec<K>`"
            .into();
    }
    if function.bindings().iter().any(|(ident, _)| ident == root) {
        return format!("`{root}` is bound inside of a pattern: take the keys as an argument `{root}: Vec<K>`");
    }
    let name = &function.sig.ident;
    format!("`{name}` has no argument `{root}`: `keys` names the argument with the keys, `ids: Vec<K>` for example")
}

/// What is visibly none of the types that can be bound again. An alias or a type of one's own is the compiler's to judge.
fn mistyped(ty: &Type) -> Option<String> {
    const COLLECTIONS: [&str; 7] = ["VecDeque", "HashSet", "BTreeSet", "HashMap", "BTreeMap", "Option", "Box"];
    match ty {
        Type::ImplTrait(_) => Some("an `impl Trait`".into()),
        Type::Array(_) => Some("an array".into()),
        Type::Tuple(_) => Some("a tuple".into()),
        Type::Reference(reference) if reference.mutability.is_some() => Some("a `&mut`".into()),
        Type::Reference(reference) => mistyped(&reference.elem),
        Type::Path(path) => {
            let last = path.path.segments.last()?.ident.to_string();
            COLLECTIONS.contains(&last.as_str()).then(|| format!("a `{last}`"))
        }
        _ => None,
    }
}
