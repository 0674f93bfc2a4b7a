//! Where `require(library NAME)` looks, as click(1) does: along CLICKPATH, where an empty component stands for the
//! folder of the text that asks. Without CLICKPATH it is that folder alone.

use std::path::{Path, PathBuf};

use anf_click::{Libraries, Library, limits};

/// Libraries in files.
pub(super) struct Files {
    /// CLICKPATH, empty if there is none.
    path: String,
}

impl Files {
    pub(super) fn of_the_environment() -> Self {
        Self { path: std::env::var("CLICKPATH").unwrap_or_default() }
    }

    fn locate(&self, name: &str, from: &str) -> Option<PathBuf> {
        if name.starts_with('/') {
            return Some(PathBuf::from(name));
        }
        let beside = match Path::new(from).parent() {
            Some(folder) if folder != Path::new("") => folder,
            _ => Path::new("."),
        };
        let places = self.path.split(':').flat_map(|folder| match folder {
            "" => vec![beside.join(name)],
            folder => ["conf/click", "conf", ""].map(|sub| Path::new(folder).join(sub).join(name)).to_vec(),
        });
        places.into_iter().find(|place| place.exists())
    }
}

impl Libraries for Files {
    fn find(&self, name: &str, from: &str) -> Result<Library, (String, Option<String>)> {
        let not_found = || {
            let help = "it is looked for in the folders of CLICKPATH, or beside the text that names it";
            (format!("library ‘{name}’ not found in CLICKPATH/conf"), Some(help.to_owned()))
        };
        let file = self.locate(name, from).ok_or_else(not_found)?;
        let file_name = file.display().to_string();
        let broken = |problem: String| (format!("{file_name}: {problem}"), None);
        let length = std::fs::metadata(&file).map_err(|error| broken(error.to_string()))?.len();
        if length > limits::TEXT_BYTES as u64 {
            return Err(broken(format!("it has {length} bytes; at most {} are read", limits::TEXT_BYTES)));
        }
        let bytes = std::fs::read(&file).map_err(|error| broken(error.to_string()))?;
        Ok(Library { text: String::from_utf8_lossy(&bytes).into_owned(), file: file_name })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A folder that goes with the test.
    struct Folder(PathBuf);

    impl Folder {
        fn with(files: &[&str]) -> Self {
            let folder = Self(std::env::temp_dir().join(format!("anf-{}-library", std::process::id())));
            for file in files {
                let file = folder.0.join(file);
                std::fs::create_dir_all(file.parent().unwrap()).unwrap();
                std::fs::write(&file, format!("// {}", file.display())).unwrap();
            }
            folder
        }

        fn path(&self, rest: &str) -> String {
            self.0.join(rest).display().to_string()
        }
    }

    impl Drop for Folder {
        fn drop(&mut self) {
            let _gone = std::fs::remove_dir_all(&self.0);
        }
    }

    #[test]
    fn a_library_is_found_beside_the_text_and_along_the_path() {
        let folder = Folder::with(&["here/l.click", "one/l.click", "one/conf/l.click", "two/x.click"]);
        let from = folder.path("here/main.click");
        let find = |path: &str, name: &str| {
            let found = Files { path: path.to_owned() }.find(name, &from);
            found.map(|library| library.file).map_err(|(message, _)| message)
        };
        assert_eq!(find("", "l.click"), Ok(folder.path("here/l.click")));
        let one = folder.path("one");
        assert_eq!(find(&one, "l.click"), Ok(folder.path("one/conf/l.click")));
        assert_eq!(find(&format!(":{one}"), "l.click"), Ok(folder.path("here/l.click")));
        assert_eq!(find(&format!("{one}:{}", folder.path("two")), "x.click"), Ok(folder.path("two/x.click")));
        assert_eq!(find("", &folder.path("one/l.click")), Ok(folder.path("one/l.click")));
        // A path without an empty component leaves the text's own folder out.
        let missing = find(&folder.path("two"), "l.click");
        assert_eq!(missing, Err("library ‘l.click’ not found in CLICKPATH/conf".to_owned()));
        assert!(find("", "/nonexistent/l.click").is_err());
    }
}
