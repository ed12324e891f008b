//! Keys as text.

mod leaf;
mod parts;

/// A key with an injective text form and, where the type allows it, the way back.
///
/// L2 stores a value under this text, so two keys of one type must never share it: if they did, one would be answered
/// with the value of the other. Keys of *different* types may share a text; caches of different key types therefore
/// need different namespaces.
///
/// ```
/// use accelerator_core::CacheKey;
/// assert_eq!("user-1".to_text(), "user-1");
/// assert_eq!((7_u64, "ab").to_text(), "7.ab");
/// assert_eq!(<(u64, String)>::decode("7.ab"), Some((7, "ab".to_owned())));
/// ```
///
/// # The text form
///
/// It consists of `A-Z`, `a-z`, `0-9`, `_`, `-`, `.` and `~`, so that a store can take it unchanged. It can be empty.
///
/// | Key | Text | |
/// |---|---|---|
/// | `42_u64`, `-5_i32`, `true` | `42`, `-5`, `true` | integers in decimal |
/// | `"user-1"` | `user-1` | letters, digits, `-` and `_` stay |
/// | `"a.b"`, `"é"` | `a~2eb`, `~c3~a9` | other UTF-8 bytes: `~` and two lower-case hex digits |
/// | `(7, "ab")`, `["x", "y", ""]` | `7.ab`, `x.y.` | `.` between the parts |
/// | `((1, 2), 3)` | `1~.2.3` | one `~` before the `.` for each level of nesting |
/// | `Some(4)`, `None` | `4`, `~n` | |
/// | `Some(None)`, `Some(Some(None))` | `~nn`, `~nnn` | |
///
/// # Your own types
///
/// Hand both directions to a tuple of the fields. The tuple borrows text as `&str`, which has the same text form as
/// `String`, and so nothing is cloned.
///
/// ```
/// use accelerator_core::CacheKey;
///
/// #[derive(Clone, Debug, PartialEq, Eq, Hash)]
/// struct PageKey {
///     tenant: u64,
///     path: String,
///     language: Option<[char; 2]>,
/// }
///
/// impl CacheKey for PageKey {
///     fn encode(&self, out: &mut String) {
///         (self.tenant, self.path.as_str(), self.language).encode(out);
///     }
///
///     fn decode(text: &str) -> Option<Self> {
///         let (tenant, path, language) = CacheKey::decode(text)?;
///         Some(Self { tenant, path, language })
///     }
/// }
///
/// let key = PageKey { tenant: 7, path: "/home".to_owned(), language: Some(['d', 'e']) };
/// assert_eq!(key.to_text(), "7.~2fhome.d~.e");
/// assert_eq!(PageKey::decode("7.~2fhome.d~.e"), Some(key));
/// ```
///
/// All fields that `Eq` compares must be in the tuple. For an enum, make the first part a tag that names the variant.
///
/// An implementation that writes its text by hand keeps to the characters above; any injective text of these can be a
/// part of tuples, arrays and options without becoming ambiguous.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a `CacheKey`",
    note = "derive `CacheKey` for a type of your own, or take a tuple of keys; floating point numbers are no keys"
)]
pub trait CacheKey: Sized {
    /// Appends the text form to `out`, leaving what is already there. Equal keys write the same text, keys that differ
    /// write different ones.
    ///
    /// ```
    /// use accelerator_core::CacheKey;
    /// let mut out = String::from("users:");
    /// 42_u64.encode(&mut out);
    /// assert_eq!(out, "users:42");
    /// ```
    fn encode(&self, out: &mut String);

    /// The key whose text form is exactly `text`: `decode(text) == Some(key)` means that `key` encodes to `text`.
    ///
    /// `None` where `encode` never writes this text, and always for types that can't be turned back, such as `&str`.
    ///
    /// ```
    /// use accelerator_core::CacheKey;
    /// assert_eq!(u64::decode("42"), Some(42));
    /// assert_eq!(u64::decode("042"), None);
    /// assert_eq!(<&str>::decode("42"), None);
    /// ```
    #[must_use]
    fn decode(text: &str) -> Option<Self>;

    /// The text form by itself.
    ///
    /// ```
    /// use accelerator_core::CacheKey;
    /// assert_eq!(Some("a b").to_text(), "a~20b");
    /// ```
    #[must_use]
    fn to_text(&self) -> String {
        let mut out = String::new();
        self.encode(&mut out);
        out
    }
}
