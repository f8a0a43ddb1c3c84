//! As much XML as STS answers with: texts of elements that occur once.

/// The text of the first element of this name.
#[must_use]
pub fn text(xml: &str, name: &str) -> Option<String> {
    let (_, rest) = xml.split_once(&format!("<{name}>"))?;
    let (text, _) = rest.split_once(&format!("</{name}>"))?;
    unescape(text.trim())
}

fn unescape(text: &str) -> Option<String> {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('&') {
        let (entity, after) = after.split_once(';')?;
        out.push_str(before);
        out.push(match entity {
            "amp" => '&',
            "lt" => '<',
            "gt" => '>',
            "quot" => '"',
            "apos" => '\'',
            _ => numbered(entity)?,
        });
        rest = after;
    }
    out.push_str(rest);
    Some(out)
}

fn numbered(entity: &str) -> Option<char> {
    let digits = entity.strip_prefix('#')?;
    let number = match digits.strip_prefix(['x', 'X']) {
        Some(hex) => u32::from_str_radix(hex, 16).ok()?,
        None => digits.parse().ok()?,
    };
    char::from_u32(number)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_the_text_of_an_element() {
        let xml = "<A><B>x</B><C> a&amp;b &lt;&#x41;&#66; </C><D>&broken</D></A>";
        assert_eq!(text(xml, "B").as_deref(), Some("x"));
        assert_eq!(text(xml, "C").as_deref(), Some("a&b <AB"));
        assert_eq!(text(xml, "D"), None);
        assert_eq!(text(xml, "E"), None);
        assert_eq!(text("<B>x", "B"), None);
    }
}
