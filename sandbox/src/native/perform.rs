//! The steps of a box's script, performed: one raw system call or a few each, in the forked child alone.
#![allow(unsafe_code, reason = "between fork and exec there are only raw system calls")]

use std::ffi::{CStr, CString, c_int};

use super::script::{BOX_ID, Step};

/// Performs one step: 0, or -1 with `errno`.
pub(super) unsafe fn perform(step: &Step) -> c_int {
    // SAFETY: all pointers come from C strings of the step, which outlives the call.
    unsafe {
        match step {
            Step::TakeIds => take_ids(),
            Step::Unshare(flags) => libc::unshare(*flags),
            Step::MapIds { uid, gid } => map_ids(uid, gid),
            Step::Detach => {
                libc::setsid();
                // The fork holds copies of other submissions' data: no program of the box may look into it.
                libc::prctl(libc::PR_SET_DUMPABLE, 0, 0, 0, 0);
                libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL, 0, 0, 0)
            }
            Step::HostName(name) => libc::sethostname(name.as_ptr(), name.as_bytes().len()),
            Step::Folder(path) => libc::mkdir(path.as_ptr(), 0o755),
            Step::File { path, data, mode } => write_file(path, data, *mode),
            Step::Symlink { path, target } => libc::symlink(target.as_ptr(), path.as_ptr()),
            Step::Mount { source, target, kind, flags, data, or_data } => {
                let mount = |data: &CString| {
                    let (source, target, kind) = (source.as_ptr(), target.as_ptr(), kind.as_ptr());
                    libc::mount(source, target, kind, *flags, data.as_ptr().cast())
                };
                match (mount(data), or_data) {
                    (-1, Some(other)) if errno() == libc::EINVAL => mount(other),
                    (result, _) => result,
                }
            }
            Step::Pivot(path) => pivot(path),
            Step::Enter(path) => libc::chdir(path.as_ptr()),
        }
    }
}

unsafe fn take_ids() -> c_int {
    // SAFETY: plain numbers and a null pointer with length zero, raw so that no other thread's ids are
    // touched.
    unsafe {
        let id = BOX_ID;
        let failed = libc::syscall(libc::SYS_setgroups, 0, std::ptr::null::<libc::gid_t>()) != 0
            || libc::syscall(libc::SYS_setresgid, id, id, id) != 0
            || libc::syscall(libc::SYS_setresuid, id, id, id) != 0;
        if failed { -1 } else { 0 }
    }
}

/// gVisor knows no setgroups file, and needs none.
unsafe fn map_ids(uid: &CStr, gid: &CStr) -> c_int {
    // SAFETY: the strings are C strings, and `write_existing` asks for nothing else.
    unsafe {
        if write_existing(c"/proc/self/setgroups", b"deny") != 0 && errno() != libc::ENOENT {
            return -1;
        }
        let failed = write_existing(c"/proc/self/uid_map", uid.to_bytes()) != 0
            || write_existing(c"/proc/self/gid_map", gid.to_bytes()) != 0;
        if failed { -1 } else { 0 }
    }
}

unsafe fn write_existing(path: &CStr, data: &[u8]) -> c_int {
    // SAFETY: the path is a C string, the buffer a slice with its own length, the errno location this
    // thread's.
    unsafe {
        let fd = libc::open(path.as_ptr(), libc::O_WRONLY | libc::O_CLOEXEC);
        if fd < 0 {
            return -1;
        }
        let written = libc::write(fd, data.as_ptr().cast(), data.len());
        let failure = errno();
        libc::close(fd);
        if written == data.len().cast_signed() {
            return 0;
        }
        *libc::__errno_location() = failure;
        -1
    }
}

unsafe fn write_file(path: &CStr, data: &[u8], mode: u32) -> c_int {
    // SAFETY: as in `write_existing`.
    unsafe {
        let fd =
            libc::open(path.as_ptr(), libc::O_CREAT | libc::O_EXCL | libc::O_WRONLY | libc::O_CLOEXEC, mode);
        if fd < 0 {
            return -1;
        }
        let mut rest = data;
        while !rest.is_empty() {
            let written = retry(|| libc::write(fd, rest.as_ptr().cast(), rest.len()));
            match usize::try_from(written).ok().and_then(|n| rest.get(n..)) {
                Some(left) => rest = left,
                None => return -1,
            }
        }
        libc::close(fd)
    }
}

/// As `pivot_root(2)` says of `pivot_root(".", ".")`: the old root ends on top of the new one and is dropped from there.
unsafe fn pivot(root: &CStr) -> c_int {
    // SAFETY: the path is a C string; the kernel checks the rest.
    unsafe {
        let here = c".".as_ptr();
        let failed = libc::chdir(root.as_ptr()) != 0
            || libc::syscall(libc::SYS_pivot_root, here, here) != 0
            || libc::umount2(here, libc::MNT_DETACH) != 0
            || libc::chdir(c"/".as_ptr()) != 0;
        if failed { -1 } else { 0 }
    }
}

/// The last call's error number.
pub(super) fn errno() -> i32 {
    // SAFETY: the location is this thread's own and always valid.
    unsafe { *libc::__errno_location() }
}

/// Calls until no signal interrupts.
pub(super) unsafe fn retry(mut call: impl FnMut() -> isize) -> isize {
    loop {
        let result = call();
        if result != -1 || errno() != libc::EINTR {
            return result;
        }
    }
}
