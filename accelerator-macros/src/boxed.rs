//! Functions that `#[async_trait]` has rewritten already: not `async`, and all of the body in
//! `Box::pin(async move { let __self = self; let __ret: Ret = BODY; __ret })`.

use proc_macro2::{Ident, TokenStream};
use quote::{ToTokens, quote};
use syn::{
    AssocType, Block, Expr, ExprAsync, ExprCall, GenericArgument, Local, Pat, PathArguments, ReturnType, Signature,
    Stmt, Token, Type, TypeParamBound, TypePath,
};

use crate::names;

pub(crate) struct Boxed {
    /// `Box::pin(async move { .. })`, the block being `inside`.
    call: ExprCall,
    inside: Block,
    /// The statement whose value is the body.
    at: usize,
    /// The name of `self` in there.
    own: Option<Ident>,
}

/// The rewritten function, what its body returns, and the body.
pub(crate) fn find(sig: &Signature, body: TokenStream) -> Option<(Boxed, TokenStream, TokenStream)> {
    let ret = output(sig)?;
    let block: Block = syn::parse2(body).ok()?;
    let [Stmt::Expr(Expr::Call(call), None)] = block.stmts.as_slice() else { return None };
    let Expr::Async(ExprAsync { block: inside, .. }) = call.args.first()? else { return None };
    let (call, mut inside) = (call.clone(), inside.clone());
    let own = inside.stmts.iter().find_map(name_of_self);
    // `let __ret: Ret = { .. };`, `let _: () = { .. };` or `{ .. }`, behind nothing but what is always written there.
    let at = inside.stmts.iter().position(|stmt| !is_prelude(stmt));
    let at = at.filter(|at| inside.stmts.get_mut(*at).is_some_and(|stmt| block_of(stmt).is_some()));
    let Some((at, body)) = at.and_then(|at| Some((at, block_of(inside.stmts.get_mut(at)?)?.to_token_stream()))) else {
        // Written by hand: the whole block is the body.
        let body = inside.to_token_stream();
        let whole = Stmt::Expr(Expr::Verbatim(TokenStream::new()), None);
        let inside = Block { stmts: vec![whole], ..inside };
        return Some((Boxed { call, inside, at: 0, own: None }, ret, body));
    };
    Some((Boxed { call, inside, at, own }, ret, body))
}

impl Boxed {
    /// The expression, with `self` under the name that it has inside.
    pub(crate) fn localize(&self, tokens: TokenStream) -> TokenStream {
        match &self.own {
            Some(own) => names::replace_self(tokens, own),
            None => tokens,
        }
    }

    /// Takes the `mut` away from `let mut name = name;`, and answers it.
    pub(crate) fn freeze(&mut self, name: &Ident) -> Option<Token![mut]> {
        self.inside.stmts.iter_mut().find_map(|stmt| match stmt {
            Stmt::Local(Local { pat: Pat::Ident(pat), .. }) if pat.ident == *name => pat.mutability.take(),
            _ => None,
        })
    }

    /// The function's block, with other statements in the place of its body.
    pub(crate) fn with_body(mut self, statements: TokenStream) -> TokenStream {
        let expr = Expr::Verbatim(quote!({ #statements }));
        if let Some(stmt) = self.inside.stmts.get_mut(self.at) {
            match stmt {
                Stmt::Local(local) => {
                    if let Some(init) = &mut local.init {
                        *init.expr = expr;
                    }
                }
                Stmt::Expr(old, _) => *old = expr,
                Stmt::Item(_) | Stmt::Macro(_) => {}
            }
        }
        if let Some(Expr::Async(block)) = self.call.args.first_mut() {
            block.block = self.inside;
        }
        let call = self.call;
        quote!({ #call })
    }
}

fn block_of(stmt: &mut Stmt) -> Option<&mut Block> {
    let expr = match stmt {
        Stmt::Local(local) if is_result(&local.pat) => &mut *local.init.as_mut()?.expr,
        Stmt::Expr(expr, None) => expr,
        _ => return None,
    };
    match expr {
        Expr::Block(block) if block.label.is_none() => Some(&mut block.block),
        _ => None,
    }
}

/// `__ret: T` or `_: ()`.
fn is_result(pat: &Pat) -> bool {
    let Pat::Type(typed) = pat else { return false };
    match &*typed.pat {
        Pat::Ident(pat) => pat.ident == "__ret",
        Pat::Wild(_) => true,
        _ => false,
    }
}

/// `if let Some(__ret) = None::<Ret> { return __ret; }`, `let name = name;` or `let (a, b) = { let __arg1 = __arg1; __arg1 };`
fn is_prelude(stmt: &Stmt) -> bool {
    match stmt {
        Stmt::Local(local) if !is_result(&local.pat) => {
            let is_written = |expr: &Expr| match expr {
                Expr::Path(_) => true,
                Expr::Block(block) => {
                    matches!(block.block.stmts.as_slice(), [Stmt::Local(_), Stmt::Expr(Expr::Path(_), None)])
                }
                _ => false,
            };
            local.init.as_ref().is_some_and(|init| is_written(&init.expr))
        }
        Stmt::Expr(Expr::If(branch), _) => matches!(&*branch.cond, Expr::Let(_)) && branch.else_branch.is_none(),
        _ => false,
    }
}

/// `let __self = self;`
fn name_of_self(stmt: &Stmt) -> Option<Ident> {
    let Stmt::Local(local) = stmt else { return None };
    let Pat::Ident(pat) = &local.pat else { return None };
    let Expr::Path(path) = &*local.init.as_ref()?.expr else { return None };
    path.path.is_ident("self").then(|| pat.ident.clone())
}

/// `Ret` of `-> Pin<Box<dyn Future<Output = Ret> + ..>>`.
fn output(sig: &Signature) -> Option<TokenStream> {
    let ReturnType::Type(_, ty) = &sig.output else { return None };
    let pinned = argument(ty, "Pin")?;
    let Type::TraitObject(object) = argument(pinned, "Box")? else { return None };
    object.bounds.iter().find_map(|bound| {
        let TypeParamBound::Trait(bound) = bound else { return None };
        let PathArguments::AngleBracketed(arguments) = &bound.path.segments.last()?.arguments else { return None };
        arguments.args.iter().find_map(|argument| match argument {
            GenericArgument::AssocType(AssocType { ident, ty, .. }) if ident == "Output" => Some(ty.to_token_stream()),
            _ => None,
        })
    })
}

/// `T` of `some::path::name<T>`.
fn argument<'a>(ty: &'a Type, name: &str) -> Option<&'a Type> {
    let Type::Path(TypePath { qself: None, path, .. }) = ty else { return None };
    let last = path.segments.last().filter(|last| last.ident == name)?;
    let PathArguments::AngleBracketed(arguments) = &last.arguments else { return None };
    match arguments.args.first()? {
        GenericArgument::Type(ty) => Some(ty),
        _ => None,
    }
}
