//! What a build may not do to its environment: have it lead elsewhere. Whoever executes it is shown what the environment's
//! own files name as its parts.

use std::fs::Permissions;
use std::io;
use std::os::unix::fs::{MetadataExt, PermissionsExt, lchown};
use std::path::{Path, PathBuf};

use rustix::process::{getegid, geteuid};
use walkdir::WalkDir;

use super::BuildError;

/// The file that names the installation beneath an environment.
const ABOUT: &str = "pyvenv.cfg";

/// What an environment said of itself before anything was installed.
pub(super) struct Fixed {
    about: Vec<u8>,
    /// The interpreters, with what they lead to.
    links: Vec<(PathBuf, PathBuf)>,
}

impl Fixed {
    /// # Errors
    /// When it cannot be read.
    pub(super) fn of(env: &Path) -> io::Result<Self> {
        Ok(Self {
            about: fs_err::read(env.join(ABOUT))?,
            links: links(env)?,
        })
    }

    /// # Errors
    /// With what was changed that may not be, by what is installed in it by now.
    pub(super) fn check(&self, env: &Path) -> Result<(), BuildError> {
        let about = env.join(ABOUT);
        // Whoever has put a link there, or a pipe, does not have it read.
        let same = fs_err::symlink_metadata(&about)
            .is_ok_and(|found| found.is_file() && found.len() == self.about.len() as u64)
            && fs_err::read(&about)? == self.about;
        if !same {
            return Err(BuildError::Changed(ABOUT.to_owned()));
        }
        for (link, target) in links(env)? {
            let known = self
                .links
                .iter()
                .any(|known| *known == (link.clone(), target.clone()));
            // Programs of packages may be links to each other.
            let beside = target.iter().count() == 1 && target != Path::new("..");
            let stays = beside && link.parent() != Some(env) && !is_interpreter(&link);
            if !known && !stays {
                let name = link.strip_prefix(env).unwrap_or(&link);
                return Err(BuildError::Changed(name.display().to_string()));
            }
        }
        match self
            .links
            .iter()
            .find(|(link, target)| fs_err::read_link(link).ok().as_ref() != Some(target))
        {
            Some((link, _)) => Err(BuildError::Changed(link.display().to_string())),
            None => Ok(()),
        }
    }
}

/// The links in the folders that are shown to whoever executes an environment.
fn links(env: &Path) -> io::Result<Vec<(PathBuf, PathBuf)>> {
    let mut found = Vec::new();
    let is_folder = |path: &Path| fs_err::symlink_metadata(path).is_ok_and(|about| about.is_dir());
    let bin = env.join("bin");
    for folder in [env, &bin] {
        if !is_folder(folder) {
            continue;
        }
        for entry in fs_err::read_dir(folder)? {
            let path = entry?.path();
            if path.is_symlink() {
                let target = fs_err::read_link(&path)?;
                found.push((path, target));
            }
        }
    }
    found.sort();
    Ok(found)
}

fn is_interpreter(link: &Path) -> bool {
    link.file_name()
        .is_some_and(|name| name.to_string_lossy().starts_with("python"))
}

/// Makes all of an environment this program's own, and readable for everybody who gets as far. No link is followed.
pub(super) fn settle(env: &Path) -> io::Result<()> {
    let (user, group) = (geteuid().as_raw(), getegid().as_raw());
    for entry in WalkDir::new(env) {
        let entry = entry?;
        let about = entry.metadata()?;
        if about.uid() != user || about.gid() != group {
            lchown(entry.path(), Some(user), Some(group))?;
        }
        if about.is_symlink() {
            continue;
        }
        let mode = match (about.is_dir(), about.mode() & 0o111) {
            (false, 0) => 0o644,
            _ => 0o755,
        };
        if about.mode() & 0o7777 != mode {
            fs_err::set_permissions(entry.path(), Permissions::from_mode(mode))?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use fs_err::os::unix::fs::symlink;

    use super::*;

    fn environment() -> (tempfile::TempDir, PathBuf, Fixed) {
        let root = tempfile::tempdir().unwrap();
        let env = root.path().join("env");
        fs_err::create_dir_all(env.join("bin")).unwrap();
        fs_err::create_dir_all(env.join("lib/python3.12")).unwrap();
        fs_err::write(env.join(ABOUT), "home = /usr/bin\n").unwrap();
        symlink("/usr/bin/python3.12", env.join("bin/python")).unwrap();
        symlink("python", env.join("bin/python3")).unwrap();
        symlink("lib", env.join("lib64")).unwrap();
        let fixed = Fixed::of(&env).unwrap();
        (root, env, fixed)
    }

    #[test]
    fn packages_may_add_programs_and_links_between_them() {
        let (_root, env, fixed) = environment();
        fs_err::write(env.join("bin/tool"), "").unwrap();
        symlink("tool", env.join("bin/alias")).unwrap();
        fs_err::create_dir_all(env.join("share/man")).unwrap();
        fixed.check(&env).unwrap();
    }

    #[test]
    fn whatever_leads_out_of_an_environment_is_refused() {
        type Change = fn(&Path);
        let changes: [(&str, Change); 8] = [
            ("pyvenv.cfg", |env| {
                fs_err::write(env.join(ABOUT), "home = /elsewhere\n").unwrap();
            }),
            ("pyvenv.cfg", |env| {
                fs_err::rename(env.join(ABOUT), env.join("other")).unwrap();
                symlink("other", env.join(ABOUT)).unwrap();
            }),
            ("etc", |env| symlink("/etc", env.join("etc")).unwrap()),
            ("lib", |env| {
                fs_err::remove_dir_all(env.join("lib")).unwrap();
                symlink("../../lib", env.join("lib")).unwrap();
            }),
            ("bin/python", |env| {
                fs_err::remove_file(env.join("bin/python")).unwrap();
                symlink("/elsewhere/x", env.join("bin/python")).unwrap();
            }),
            ("bin/python3", |env| {
                fs_err::remove_file(env.join("bin/python3")).unwrap();
                fs_err::write(env.join("bin/python3"), "#!/bin/sh").unwrap();
            }),
            ("bin/python3.9", |env| {
                symlink("tool", env.join("bin/python3.9")).unwrap();
            }),
            ("bin", |env| {
                fs_err::rename(env.join("bin"), env.join("x")).unwrap();
                symlink("x", env.join("bin")).unwrap();
            }),
        ];
        for (what, change) in changes {
            let (_root, env, fixed) = environment();
            change(&env);
            let error = fixed.check(&env).expect_err(what).to_string();
            assert!(error.contains(what), "{what}: {error}");
        }
    }

    #[test]
    fn an_environment_is_readable_for_everybody_and_nothing_more() {
        let (root, env, _) = environment();
        let outside = root.path().join("outside");
        fs_err::write(&outside, "").unwrap();
        symlink(&outside, env.join("lib/link")).unwrap();
        let set = |path: &Path, mode| {
            fs_err::set_permissions(path, Permissions::from_mode(mode)).unwrap();
        };
        fs_err::write(env.join("bin/tool"), "").unwrap();
        set(&outside, 0o600);
        set(&env.join("bin/tool"), 0o4700);
        set(&env.join(ABOUT), 0o600);
        set(&env.join("lib"), 0o700);

        settle(&env).unwrap();

        let mode = |path: &Path| fs_err::metadata(path).unwrap().permissions().mode() & 0o7777;
        assert_eq!(mode(&env.join("bin/tool")), 0o755);
        assert_eq!(mode(&env.join(ABOUT)), 0o644);
        assert_eq!(mode(&env.join("lib")), 0o755);
        assert_eq!(mode(&outside), 0o600);
    }
}
