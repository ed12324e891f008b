//! Notes as text. The text is hashed and written into values: what it says of a type must not change.

use std::fmt::Write;

use crate::codecs::shape::notes::{Kind, Notes};

/// So deep goes an outline: it ends at the first name, and types without names are not recursive.
const OUTLINE: usize = 16;

impl Notes {
    /// Everything: for bytes that mean nothing without the type. Types are numbered in the order in which they are met,
    /// names have their length before them.
    pub(crate) fn describe(&self) -> String {
        let mut text = String::new();
        for (number, known) in self.types.iter().enumerate() {
            text += &format!("#{number} {} {}:{} {}(", known.kind, known.name.len(), known.name, known.slots.len());
            for slot in &known.slots {
                text += &format!("{}:{}", slot.label.len(), slot.label);
                for kind in &slot.kinds {
                    match kind {
                        Kind::Leaf(leaf) => text += &format!(" {leaf}"),
                        Kind::Type(at) => text += &format!(" #{at}"),
                    }
                }
                text.push(',');
            }
            text.push_str(")\n");
        }
        text
    }

    /// What can't change without being another thing: for bytes in which everything has a name. Ends at the first type
    /// that has one, and numbers are numbers.
    pub(crate) fn outline(&self) -> String {
        let mut text = String::new();
        self.outline_of(Kind::Type(Self::ROOT), OUTLINE, &mut text);
        text
    }

    fn outline_of(&self, kind: Kind, depth: usize, text: &mut String) {
        let at = match kind {
            Kind::Leaf(leaf) => {
                let number = leaf.strip_prefix(['i', 'u', 'f']).is_some_and(|bits| bits.parse::<u8>().is_ok());
                return text.push_str(if number { "number" } else { leaf });
            }
            Kind::Type(at) => at,
        };
        let known = &self.types[at];
        if !known.name.is_empty() || depth == 0 {
            // Writing into a string does not fail.
            let _ = write!(text, "{}:{}", known.name.len(), known.name);
            return;
        }
        // Whether it may be absent may change.
        let is_transparent = matches!(known.kind, "root" | "option");
        if !is_transparent {
            text.push_str(known.kind);
            text.push('(');
        }
        for slot in &known.slots {
            if let Some(kind) = slot.kinds.first() {
                self.outline_of(*kind, depth - 1, text);
            }
            if !is_transparent {
                text.push(',');
            }
        }
        if !is_transparent {
            text.push(')');
        }
    }
}
