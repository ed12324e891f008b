//! What is inside of a compound, given to its visitor piece by piece.

use serde::de::value::BorrowedStrDeserializer;
use serde::de::{DeserializeSeed, EnumAccess, IntoDeserializer, MapAccess, SeqAccess, VariantAccess, Visitor};

use crate::codecs::shape::notes::{Kind, Notes, Stop};
use crate::codecs::shape::tracer::Tracer;

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
