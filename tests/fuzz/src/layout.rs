//! Any text in the annotations for layout and executables, with any keys: `LAYOUT NUL EXECUTABLE NUL KEY NUL KEY ...`.

use std::collections::HashSet;

use keyporter::inject::layout::Layout;
use keyporter::inject::secret::Key;

pub(crate) fn run(bytes: &[u8]) {
    let Ok(text) = str::from_utf8(bytes) else {
        return;
    };
    let mut parts = text.split('\0');
    let layout = parts.next();
    let executable = parts.next().filter(|text| !text.is_empty());
    // The API server takes no longer ones.
    let keys: HashSet<_> = parts.filter(|key| key.len() <= 253).collect();
    let key = |name: &&str| Key {
        name: (*name).into(),
        length: 1,
    };
    let keys: Vec<_> = keys.iter().map(key).collect();
    let read = Layout::read(layout, executable, &keys);
    let files = match &read {
        Ok(read) => read.items(),
        Err(error) => {
            assert!(!error.to_string().is_empty());
            return;
        }
    };
    assert_eq!(files.len(), keys.len());
    let paths: HashSet<_> = files.iter().map(|item| &*item.path).collect();
    assert_eq!(paths.len(), files.len(), "a path twice");
    for item in files {
        // Where no layout names a path it is the key, which the API server has looked at.
        if item.path != item.key {
            assert!(!item.path.starts_with('/'), "{item:?}");
            assert!(
                item.path.split('/').all(|part| {
                    !part.is_empty() && part != "." && !part.starts_with("..") && part.len() <= 255
                }),
                "{item:?}"
            );
        }
        let folders = item.path.match_indices('/').map(|(at, _)| &item.path[..at]);
        for folder in folders {
            assert!(
                !paths.contains(folder),
                "{folder:?} is a file, and {item:?} in it"
            );
        }
    }
}
