//! Archives (ar(1)) of click(1): Click's tools write a configuration together with what they made for it. The member
//! `config` is the text.

const MAGIC: &[u8] = b"!<arch>\n";
const HEADER: usize = 60;

/// The Click text of a file that may be an archive.
pub(super) fn text(bytes: Vec<u8>) -> Result<Vec<u8>, &'static str> {
    if bytes.starts_with(MAGIC) {
        return member(&bytes, b"config").map(<[u8]>::to_vec).ok_or("archive has no 'config' section");
    }
    Ok(bytes)
}

fn member<'a>(archive: &'a [u8], wanted: &[u8]) -> Option<&'a [u8]> {
    let mut rest = archive.get(MAGIC.len()..)?;
    loop {
        let header = rest.get(..HEADER)?;
        let body = &rest[HEADER..];
        let length: usize = std::str::from_utf8(&header[48..58]).ok()?.trim().parse().ok()?;
        let contents = body.get(..length)?;
        let (name, contents) = split_name(&header[..16], contents)?;
        if name == wanted {
            return Some(contents);
        }
        // Members begin at even places.
        rest = body.get(length + length % 2..)?;
    }
}

/// A long name stands before the contents, and its length in the header.
fn split_name<'a>(field: &'a [u8], contents: &'a [u8]) -> Option<(&'a [u8], &'a [u8])> {
    if let Some(length) = field.strip_prefix(b"#1/") {
        let length: usize = std::str::from_utf8(length).ok()?.trim().parse().ok()?;
        let (name, contents) = contents.split_at_checked(length)?;
        let end = name.iter().position(|byte| *byte == 0).unwrap_or(name.len());
        return Some((&name[..end], contents));
    }
    let name = field.trim_ascii_end();
    Some((name.strip_suffix(b"/").unwrap_or(name), contents))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn archive(members: &[(&str, &str)]) -> Vec<u8> {
        let mut out = MAGIC.to_vec();
        for (name, contents) in members {
            out.extend(format!("{name:<16}{:<32}{:<10}`\n", "", contents.len()).bytes());
            out.extend(contents.bytes());
            if contents.len() % 2 == 1 {
                out.push(b'\n');
            }
        }
        out
    }

    #[test]
    fn the_configuration_of_an_archive_is_its_text() {
        let found = text(archive(&[("x.cc", "odd"), ("config/", "Idle -> Discard"), ("y", "z")]));
        assert_eq!(found, Ok(b"Idle -> Discard".to_vec()));
        let found = text(archive(&[("#1/8", "config\0\0a :: A")]));
        assert_eq!(found, Ok(b"a :: A".to_vec()));
        assert_eq!(text(b"!x".to_vec()), Ok(b"!x".to_vec()));
    }

    #[test]
    fn an_archive_that_is_cut_short_has_no_configuration() {
        // The last byte only fills the last member up to an even length.
        let whole = archive(&[("x", "12345"), ("config", "Idle -> Discard")]);
        for length in MAGIC.len()..whole.len() - 1 {
            assert_eq!(text(whole[..length].to_vec()), Err("archive has no 'config' section"), "{length}");
        }
        let huge = format!("!<arch>\n{:<48}{:<10}`\n", "x", "9999999999");
        assert!(text(huge.into_bytes()).is_err());
    }
}
