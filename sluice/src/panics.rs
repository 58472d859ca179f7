//! A panic anywhere ends the appliance, so that whoever watches over it starts it anew. Packet cores hold
//! what others wait for: one that is gone while the rest goes on would be worse. Only a stage that runs under the
//! scheduler may panic: it is taken out of service, and the core goes on.

use std::panic;

/// From now on a panic of any thread, once it is told on standard error, aborts the process.
pub fn end_the_process() {
    let told = panic::take_hook();
    panic::set_hook(Box::new(move |what| {
        told(what);
        if !nf_core::chain::is_guarded() {
            std::process::abort();
        }
    }));
}

#[cfg(test)]
mod tests {
    use std::os::unix::process::ExitStatusExt;
    use std::process::Command;

    /// POSIX's number.
    const SIGABRT: i32 = 6;

    /// Only for the process that the test below starts.
    const CHILD: &str = "SLUICE_TEST_PANICS";

    #[test]
    fn a_thread_that_panics_ends_the_process() {
        if std::env::var_os(CHILD).is_some() {
            super::end_the_process();
            let thread = std::thread::spawn(|| panic!("on purpose"));
            let _ = thread.join();
            return; // which the test would take for survival
        }
        let child = Command::new(std::env::current_exe().unwrap())
            .args([
                "--exact",
                "panics::tests::a_thread_that_panics_ends_the_process",
            ])
            .arg("--nocapture")
            .env(CHILD, "1")
            .output()
            .unwrap();
        assert_eq!(child.status.signal(), Some(SIGABRT), "{child:?}");
        let told = String::from_utf8_lossy(&child.stderr);
        assert!(told.contains("on purpose"), "{told}");
    }
}
