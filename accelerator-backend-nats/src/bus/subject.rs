//! The names that topics have on the server.

use std::fmt::Write as _;

/// The subject of a topic: one token behind the prefix, however many dots or blanks there are in the topic. Two topics never
/// have one subject, as the percent sign is encoded as well.
pub(crate) fn of(prefix: &str, topic: &str) -> String {
    let mut subject = format!("{prefix}.bus.");
    for byte in topic.bytes() {
        if byte.is_ascii_alphanumeric() || b"-_:/".contains(&byte) {
            subject.push(char::from(byte));
        } else {
            // A `String` takes everything.
            let _ = write!(subject, "%{byte:02X}");
        }
    }
    subject
}

/// Whether it is a subject without wildcards, outside of what the server keeps to itself.
pub(crate) fn is_prefix(text: &str) -> bool {
    let visible = text.bytes().all(|byte| byte.is_ascii_graphic() && !matches!(byte, b'*' | b'>' | b'"' | b'\''));
    visible && !text.starts_with('$') && !text.split('.').any(str::is_empty)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_topic_is_one_token() {
        for (topic, subject) in [
            ("accelerator:user-name", "shop.bus.accelerator:user-name"),
            ("a.b", "shop.bus.a%2Eb"),
            ("*", "shop.bus.%2A"),
            ("> \r\n", "shop.bus.%3E%20%0D%0A"),
            ("%2E", "shop.bus.%252E"),
            ("é", "shop.bus.%C3%A9"),
        ] {
            assert_eq!(of("shop", topic), subject);
        }
    }

    #[test]
    fn a_prefix_is_a_subject() {
        for good in ["shop", "shop.prod", "a:b/c", "x$y"] {
            assert!(is_prefix(good), "{good}");
        }
        for bad in ["", ".", "shop.", ".shop", "a..b", "a b", "a.*", ">", "$SYS", "é", "a\"b"] {
            assert!(!is_prefix(bad), "{bad}");
        }
    }
}
