//! A deserializer without bytes: it writes down what it is asked for, and makes something up.

use serde::de::value::BorrowedStrDeserializer;
use serde::de::{
    DeserializeSeed, Deserializer, EnumAccess, IntoDeserializer, MapAccess, SeqAccess, VariantAccess, Visitor,
};

use crate::codecs::shape::notes::{Kind, Notes, Stop};

/// Answers one request.
pub(crate) struct Tracer<'a>(pub(crate) &'a mut Notes);

/// Text that checks itself takes one of them, mostly.
const TEXTS: [&str; 14] = [
    "",
    "a",
    "0",
    "1",
    "1970-01-01T00:00:00Z",
    "1970-01-01T00:00:00",
    "1970-01-01",
    "00:00:00",
    "127.0.0.1",
    "::1",
    "00000000-0000-0000-0000-000000000000",
    "https://a.example/",
    "1.0.0",
    "a@a.example",
];
const BYTES: [&[u8]; 6] = [&[], &[0], &[0; 4], &[0; 8], &[0; 16], &[0; 32]];

macro_rules! leaves {
    ($($method:ident $name:literal $visit:ident [$first:expr $(, $other:expr)*];)*) => {$(
        fn $method<V: Visitor<'static>>(self, visitor: V) -> Result<V::Value, Stop> {
            self.0.note(Kind::Leaf($name));
            visitor.$visit(self.0.choose(&[$first $(, $other)*], $first))
        }
    )*};
}

impl Deserializer<'static> for Tracer<'_> {
    type Error = Stop;

    leaves! {
        deserialize_bool "bool" visit_bool [false, true];
        deserialize_i8 "i8" visit_i8 [0, 1, 7];
        deserialize_i16 "i16" visit_i16 [0, 1, 7];
        deserialize_i32 "i32" visit_i32 [0, 1, 7];
        deserialize_i64 "i64" visit_i64 [0, 1, 7];
        deserialize_i128 "i128" visit_i128 [0, 1, 7];
        deserialize_u8 "u8" visit_u8 [0, 1, 7];
        deserialize_u16 "u16" visit_u16 [0, 1, 7];
        deserialize_u32 "u32" visit_u32 [0, 1, 7];
        deserialize_u64 "u64" visit_u64 [0, 1, 7];
        deserialize_u128 "u128" visit_u128 [0, 1, 7];
        deserialize_f32 "f32" visit_f32 [0.0, 1.0];
        deserialize_f64 "f64" visit_f64 [0.0, 1.0];
        deserialize_char "char" visit_char ['a', '0'];
    }

    fn deserialize_str<V: Visitor<'static>>(self, visitor: V) -> Result<V::Value, Stop> {
        self.0.note(Kind::Leaf("str"));
        visitor.visit_borrowed_str(self.0.choose(&TEXTS, ""))
    }

    fn deserialize_string<V: Visitor<'static>>(self, visitor: V) -> Result<V::Value, Stop> {
        self.deserialize_str(visitor)
    }

    fn deserialize_bytes<V: Visitor<'static>>(self, visitor: V) -> Result<V::Value, Stop> {
        self.0.note(Kind::Leaf("bytes"));
        visitor.visit_borrowed_bytes(self.0.choose(&BYTES, &[]))
    }

    fn deserialize_byte_buf<V: Visitor<'static>>(self, visitor: V) -> Result<V::Value, Stop> {
        self.deserialize_bytes(visitor)
    }

    fn deserialize_unit<V: Visitor<'static>>(self, visitor: V) -> Result<V::Value, Stop> {
        self.0.note(Kind::Leaf("unit"));
        visitor.visit_unit()
    }

    fn deserialize_any<V: Visitor<'static>>(self, visitor: V) -> Result<V::Value, Stop> {
        self.0.asks_for_description("any");
        visitor.visit_unit()
    }

    fn deserialize_ignored_any<V: Visitor<'static>>(self, visitor: V) -> Result<V::Value, Stop> {
        self.0.asks_for_description("ignored");
        visitor.visit_unit()
    }

    /// Names of fields and variants are told by the tracer. Who asks for one elsewhere wants to look at it.
    fn deserialize_identifier<V: Visitor<'static>>(self, visitor: V) -> Result<V::Value, Stop> {
        self.0.asks_for_description("identifier");
        visitor.visit_borrowed_str("")
    }

    fn deserialize_option<V: Visitor<'static>>(self, visitor: V) -> Result<V::Value, Stop> {
        let at = self.0.meet::<V>("option", "", 0, [""].into_iter());
        if self.0.is_enough(at) {
            return visitor.visit_none();
        }
        self.0.slot(at, 0, |notes| visitor.visit_some(Tracer(notes)))
    }

    fn deserialize_unit_struct<V: Visitor<'static>>(self, name: &'static str, visitor: V) -> Result<V::Value, Stop> {
        self.0.meet::<V>("unit", name, 0, std::iter::empty());
        visitor.visit_unit()
    }

    fn deserialize_newtype_struct<V: Visitor<'static>>(self, name: &'static str, visitor: V) -> Result<V::Value, Stop> {
        let at = self.0.meet::<V>("newtype", name, 0, [""].into_iter());
        self.0.slot(at, 0, |notes| visitor.visit_newtype_struct(Tracer(notes)))
    }

    fn deserialize_seq<V: Visitor<'static>>(self, visitor: V) -> Result<V::Value, Stop> {
        let at = self.0.meet::<V>("seq", "", 0, [""].into_iter());
        let len = usize::from(!self.0.is_enough(at));
        visitor.visit_seq(Elements { notes: self.0, at, next: 0, len })
    }

    fn deserialize_tuple<V: Visitor<'static>>(self, len: usize, visitor: V) -> Result<V::Value, Stop> {
        self.elements("tuple", "", len, visitor)
    }

    fn deserialize_tuple_struct<V: Visitor<'static>>(
        self,
        name: &'static str,
        len: usize,
        visitor: V,
    ) -> Result<V::Value, Stop> {
        self.elements("tuple", name, len, visitor)
    }

    fn deserialize_map<V: Visitor<'static>>(self, visitor: V) -> Result<V::Value, Stop> {
        let at = self.0.meet::<V>("map", "", 0, ["key", "value"].into_iter());
        let done = self.0.is_enough(at);
        visitor.visit_map(Entries { notes: self.0, at, done })
    }

    fn deserialize_struct<V: Visitor<'static>>(
        self,
        name: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Stop> {
        let at = self.0.meet::<V>("struct", name, fields.len(), fields.iter().copied());
        self.fields(at, fields, visitor)
    }

    fn deserialize_enum<V: Visitor<'static>>(
        self,
        name: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Stop> {
        let at = self.0.meet::<V>("enum", name, variants.len(), variants.iter().copied());
        let variant = self.0.next_variant(at).ok_or(Stop)?;
        let got = self.0.slot(at, variant, |notes| visitor.visit_enum(Variant { notes, variant, variants }));
        self.0.more |= self.0.has_more_variants(at);
        got
    }

    fn is_human_readable(&self) -> bool {
        self.0.format.is_text()
    }
}

impl Tracer<'_> {
    fn elements<V: Visitor<'static>>(
        self,
        kind: &'static str,
        name: &'static str,
        len: usize,
        visitor: V,
    ) -> Result<V::Value, Stop> {
        let at = self.0.meet::<V>(kind, name, len, (0..len).map(|_| ""));
        visitor.visit_seq(Elements { notes: self.0, at, next: 0, len })
    }

    /// By position, as all codecs may. A field that takes nothing made up would hide those behind it: then by name,
    /// without it.
    pub(crate) fn fields<V: Visitor<'static>>(
        self,
        at: usize,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Stop> {
        let notes = self.0;
        if notes.types[at].slots.iter().all(|slot| !slot.dead) {
            return visitor.visit_seq(Elements { notes, at, next: 0, len: fields.len() });
        }
        let got = visitor.visit_map(Fields { notes: &mut *notes, at, next: 0, fields });
        // Of what is missing, nothing more can be learned.
        notes.hopeless |= got.is_err() && !notes.changed;
        got
    }
}

// What is inside of a compound, given to its visitor piece by piece.

/// Elements, or fields by position.
pub(crate) struct Elements<'a> {
    pub(crate) notes: &'a mut Notes,
    pub(crate) at: usize,
    pub(crate) next: usize,
    pub(crate) len: usize,
}

impl SeqAccess<'static> for Elements<'_> {
    type Error = Stop;

    fn next_element_seed<T: DeserializeSeed<'static>>(&mut self, seed: T) -> Result<Option<T::Value>, Stop> {
        if self.next == self.len {
            return Ok(None);
        }
        let slot = self.next;
        self.next += 1;
        self.notes.slot(self.at, slot, |notes| seed.deserialize(Tracer(notes))).map(Some)
    }

    fn size_hint(&self) -> Option<usize> {
        Some(self.len - self.next)
    }
}

/// The one entry of a map, or none.
pub(crate) struct Entries<'a> {
    pub(crate) notes: &'a mut Notes,
    pub(crate) at: usize,
    pub(crate) done: bool,
}

impl MapAccess<'static> for Entries<'_> {
    type Error = Stop;

    fn next_key_seed<T: DeserializeSeed<'static>>(&mut self, seed: T) -> Result<Option<T::Value>, Stop> {
        if std::mem::replace(&mut self.done, true) {
            return Ok(None);
        }
        self.notes.slot(self.at, 0, |notes| seed.deserialize(Tracer(notes))).map(Some)
    }

    fn next_value_seed<T: DeserializeSeed<'static>>(&mut self, seed: T) -> Result<T::Value, Stop> {
        self.notes.slot(self.at, 1, |notes| seed.deserialize(Tracer(notes)))
    }
}

/// Fields by name, without those that take nothing made up.
pub(crate) struct Fields<'a> {
    pub(crate) notes: &'a mut Notes,
    pub(crate) at: usize,
    pub(crate) next: usize,
    pub(crate) fields: &'static [&'static str],
}

impl MapAccess<'static> for Fields<'_> {
    type Error = Stop;

    fn next_key_seed<T: DeserializeSeed<'static>>(&mut self, seed: T) -> Result<Option<T::Value>, Stop> {
        let slots = &self.notes.types[self.at].slots;
        while slots.get(self.next).is_some_and(|slot| slot.dead) {
            self.next += 1;
        }
        match self.fields.get(self.next) {
            Some(name) => seed.deserialize(BorrowedStrDeserializer::new(name)).map(Some),
            None => Ok(None),
        }
    }

    fn next_value_seed<T: DeserializeSeed<'static>>(&mut self, seed: T) -> Result<T::Value, Stop> {
        let slot = self.next;
        self.next += 1;
        self.notes.slot(self.at, slot, |notes| seed.deserialize(Tracer(notes)))
    }
}

/// One variant of an enum.
pub(crate) struct Variant<'a> {
    pub(crate) notes: &'a mut Notes,
    pub(crate) variant: usize,
    pub(crate) variants: &'static [&'static str],
}

impl<'a> EnumAccess<'static> for Variant<'a> {
    type Error = Stop;
    type Variant = Self;

    fn variant_seed<T: DeserializeSeed<'static>>(self, seed: T) -> Result<(T::Value, Self), Stop> {
        let chosen = if self.notes.format.describes_itself() {
            let name = self.variants.get(self.variant).ok_or(Stop)?;
            seed.deserialize(BorrowedStrDeserializer::<Stop>::new(name))
        } else {
            seed.deserialize(IntoDeserializer::<Stop>::into_deserializer(
                u32::try_from(self.variant).map_err(|_| Stop)?,
            ))
        };
        Ok((chosen?, self))
    }
}

impl VariantAccess<'static> for Variant<'_> {
    type Error = Stop;

    fn unit_variant(self) -> Result<(), Stop> {
        self.notes.note(Kind::Leaf("unit"));
        Ok(())
    }

    fn newtype_variant_seed<T: DeserializeSeed<'static>>(self, seed: T) -> Result<T::Value, Stop> {
        seed.deserialize(Tracer(self.notes))
    }

    fn tuple_variant<V: Visitor<'static>>(self, len: usize, visitor: V) -> Result<V::Value, Stop> {
        let at = self.notes.meet::<V>("tuple variant", "", self.variant, (0..len).map(|_| ""));
        visitor.visit_seq(Elements { notes: self.notes, at, next: 0, len })
    }

    fn struct_variant<V: Visitor<'static>>(
        self,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Stop> {
        let at = self.notes.meet::<V>("struct variant", "", self.variant, fields.iter().copied());
        Tracer(self.notes).fields(at, fields, visitor)
    }
}
