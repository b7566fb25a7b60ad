//! Which languages this runner's toolchain can serve: those whose programs are there.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use queue::LanguageSnapshot;
use queue::contract::BrokenLanguage;

/// Whether `path`, absolute in the toolchain, is a program there.
pub(super) fn program(toolchain: &Path, path: &str) -> Result<(), String> {
    let metadata = fs::metadata(toolchain.join(path.trim_start_matches('/')));
    let metadata = metadata.map_err(|error| format!("{path}: {error}"))?;
    if !metadata.is_file() {
        return Err(format!("{path}: is no file"));
    }
    if metadata.permissions().mode() & 0o111 == 0 {
        return Err(format!("{path}: is not executable"));
    }
    Ok(())
}

/// Languages that can be served by name, and those that can't with the reason.
pub(super) fn examine(
    toolchain: &Path,
    languages: &[LanguageSnapshot],
) -> (Vec<String>, Vec<BrokenLanguage>) {
    let (mut working, mut broken) = (Vec::new(), Vec::new());
    for language in languages {
        match examine_one(toolchain, language) {
            Ok(()) => working.push(language.name.clone()),
            Err(reason) => broken.push(BrokenLanguage { name: language.name.clone(), reason }),
        }
    }
    working.sort_unstable();
    broken.sort_unstable_by(|a, b| a.name.cmp(&b.name));
    (working, broken)
}

/// A program given by a relative path is made by the compiler, or is the source.
fn examine_one(toolchain: &Path, language: &LanguageSnapshot) -> Result<(), String> {
    let compile = language.spec.compile.as_ref().map(|compile| &compile.command);
    let commands = compile.into_iter().chain([&language.spec.run.command]);
    let mut programs = commands.filter_map(|command| command.first()).filter(|path| path.starts_with('/'));
    programs.try_for_each(|path| program(toolchain, path))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn language(name: &str, compiler: &str, run: &str) -> LanguageSnapshot {
        let spec = json!({
            "displayName": "L", "sourceFile": "main.l", "run": {"command": [run]},
            "compile": {"command": [compiler], "artifacts": ["main"], "limits": {
                "timeMilliseconds": 3000, "memoryBytes": 1 << 28, "outputBytes": 4096, "processes": 9, "diskBytes": 1 << 20}},
            "limits": {"default": {"timeMilliseconds": 1000, "memoryBytes": 1 << 26, "outputBytes": 2048, "processes": 4}},
        });
        LanguageSnapshot { name: name.into(), spec: serde_json::from_value(spec).unwrap() }
    }

    #[test]
    fn a_language_works_if_its_programs_are_there_and_executable() {
        let dir = tempfile::tempdir().unwrap();
        let bin = dir.path().join("bin");
        fs::create_dir(&bin).unwrap();
        for (name, mode) in [("cc", 0o755), ("text", 0o644)] {
            fs::write(bin.join(name), "").unwrap();
            fs::set_permissions(bin.join(name), fs::Permissions::from_mode(mode)).unwrap();
        }
        let languages = [
            language("z", "/bin/cc", "./main"),
            language("a", "/bin/cc", "/bin/cc"),
            language("gone", "/bin/gone", "./main"),
            language("folder", "/bin", "./main"),
            language("text", "/bin/cc", "/bin/text"),
        ];
        let (working, broken) = examine(dir.path(), &languages);
        assert_eq!(working, ["a", "z"]);
        let broken: Vec<_> = broken.iter().map(|b| format!("{} {}", b.name, b.reason)).collect();
        assert_eq!(broken[0], "folder /bin: is no file");
        assert!(broken[1].starts_with("gone /bin/gone: No such file"), "{broken:?}");
        assert_eq!(broken[2], "text /bin/text: is not executable");
    }
}
