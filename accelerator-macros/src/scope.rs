//! Whether an expression uses a name that it doesn't bind itself.

use proc_macro2::TokenTree;
use quote::ToTokens;
use syn::punctuated::Punctuated;
use syn::{Arm, BinOp, Block, Expr, Pat, Stmt, Token};

use crate::names::uses;

/// The first token through which the expression uses the variable `name` of the outside. What a closure, a `let`, a
/// `match` or a `for` in there binds under that name is its own.
pub(crate) fn free(expr: &Expr, name: &str) -> Option<TokenTree> {
    let each = |exprs: &Punctuated<Expr, Token![,]>| exprs.iter().find_map(|expr| free(expr, name));
    let of = |expr: &Expr| free(expr, name);
    match expr {
        Expr::Array(array) => each(&array.elems),
        Expr::Assign(assign) => of(&assign.left).or_else(|| of(&assign.right)),
        Expr::Async(block) => in_block(&block.block, name),
        Expr::Await(wait) => of(&wait.base),
        Expr::Binary(_) | Expr::Let(_) => in_condition(expr, name).0,
        Expr::Block(block) => in_block(&block.block, name),
        Expr::Call(call) => of(&call.func).or_else(|| each(&call.args)),
        Expr::Cast(cast) => of(&cast.expr),
        Expr::Closure(closure) if closure.inputs.iter().any(|pat| binds(pat, name)) => None,
        Expr::Closure(closure) => of(&closure.body),
        Expr::Field(field) => of(&field.base),
        Expr::ForLoop(each) => of(&each.expr).or_else(|| unbound(&each.pat, name, || in_block(&each.body, name))),
        Expr::Group(group) => of(&group.expr),
        Expr::If(branch) => {
            let (used, bound) = in_condition(&branch.cond, name);
            let then = || if bound { None } else { in_block(&branch.then_branch, name) };
            let otherwise = || branch.else_branch.as_ref().and_then(|(_, other)| of(other));
            used.or_else(then).or_else(otherwise)
        }
        Expr::Index(index) => of(&index.expr).or_else(|| of(&index.index)),
        Expr::Lit(_) => None,
        Expr::Loop(each) => in_block(&each.body, name),
        Expr::Match(choice) => of(&choice.expr).or_else(|| choice.arms.iter().find_map(|arm| in_arm(arm, name))),
        Expr::MethodCall(call) => of(&call.receiver).or_else(|| each(&call.args)),
        Expr::Paren(paren) => of(&paren.expr),
        Expr::Reference(reference) => of(&reference.expr),
        Expr::Try(tried) => of(&tried.expr),
        Expr::Tuple(tuple) => each(&tuple.elems),
        Expr::Unary(unary) => of(&unary.expr),
        Expr::While(each) => {
            let (used, bound) = in_condition(&each.cond, name);
            used.or_else(|| if bound { None } else { in_block(&each.body, name) })
        }
        // Paths, macros, and what binds nothing.
        other => uses(other.to_token_stream(), name),
    }
}

fn in_arm(arm: &Arm, name: &str) -> Option<TokenTree> {
    let (pat, guard) = match &arm.pat {
        Pat::Guard(guarded) => (&*guarded.pat, Some(&*guarded.guard)),
        pat => (pat, None),
    };
    unbound(pat, name, || {
        let (used, bound) = guard.map_or((None, false), |guard| in_condition(guard, name));
        used.or_else(|| if bound { None } else { free(&arm.body, name) })
    })
}

/// What is used in a condition, and whether the name is bound behind it: `let` binds for what follows.
fn in_condition(expr: &Expr, name: &str) -> (Option<TokenTree>, bool) {
    match expr {
        Expr::Let(binding) => (free(&binding.expr, name), binds(&binding.pat, name)),
        Expr::Binary(both) => {
            let (used, bound) = in_condition(&both.left, name);
            if used.is_some() || bound {
                return (used, bound);
            }
            let (used, bound) = in_condition(&both.right, name);
            (used, bound && matches!(both.op, BinOp::And(_)))
        }
        other => (free(other, name), false),
    }
}

fn in_block(block: &Block, name: &str) -> Option<TokenTree> {
    for stmt in &block.stmts {
        let used = match stmt {
            Stmt::Local(local) => {
                let used = local.init.as_ref().and_then(|init| {
                    free(&init.expr, name)
                        .or_else(|| init.diverge.as_ref().and_then(|(_, otherwise)| free(otherwise, name)))
                });
                if used.is_none() && binds(&local.pat, name) {
                    return None;
                }
                used
            }
            Stmt::Expr(expr, _) => free(expr, name),
            Stmt::Macro(call) => uses(call.to_token_stream(), name),
            // It sees no variables.
            Stmt::Item(_) => None,
        };
        if used.is_some() {
            return used;
        }
    }
    None
}

fn unbound(pat: &Pat, name: &str, then: impl FnOnce() -> Option<TokenTree>) -> Option<TokenTree> {
    if binds(pat, name) { None } else { then() }
}

fn binds(pat: &Pat, name: &str) -> bool {
    uses(pat.to_token_stream(), name).is_some()
}

#[cfg(test)]
mod tests {
    use super::free;

    fn is_free(text: &str) -> bool {
        free(&syn::parse_str(text).expect("an expression"), "result").is_some()
    }

    #[test]
    fn what_is_not_bound_inside_is_free() {
        for text in [
            "result",
            "result.id",
            "key(result)",
            "Key { result }",
            "Key { id: result.id }",
            "ids.iter().any(|id| *id == result.id)",
            "format!(\"{result}\")",
            "vec![result.id]",
            "{ let id = result.id; id }",
            "{ let result = result.id; result }",
            "if let Some(result) = one { 1 } else { result.id }",
            "if let Some(result) = result { 1 } else { 2 }",
            "match one { Some(result) => 1, None => result.id }",
            "match result { Some(result) => result, None => 1 }",
            "match one { Some(id) if id == result.id => 1, _ => 2 }",
            "(|result: u64| result + 1)(result.id)",
            "{ for result in result.ids() { drop(result) } 1 }",
            "&*result",
            "ids[result.at]",
            "result == 1 && true",
            "loop { break result.id; }",
            "unsafe { result.id }",
            "[result; 2]",
            "result.parse::<u64>()?",
            "result.load().await",
            "-result",
            "(result as u64, 1)",
            "0..result",
        ] {
            assert!(is_free(text), "{text}");
        }
    }

    #[test]
    fn what_is_bound_inside_is_not() {
        for text in [
            "id",
            "self.result",
            "request.result.id",
            "result::of(id)",
            "of.result()",
            "Key { result: id }",
            "\"{result}\"",
            "ids.iter().any(|result| *result > 0)",
            "ids.iter().fold(0, |sum, (result, _)| sum + result)",
            "{ let result = user.id; result }",
            "{ let (id, result) = pair; result + id }",
            "if let Some(result) = one { result } else { 1 }",
            "if let Some(result) = one && result > 1 { result } else { 1 }",
            "{ while let Some(result) = next() { drop(result) } 1 }",
            "match one { Some(result) if result > 0 => result, _ => 1 }",
            "{ for result in ids { drop(result) } 1 }",
            "async { let result = 1; result }",
        ] {
            assert!(!is_free(text), "{text}");
        }
    }
}
