//! Promise 10, *strangers stay out*, by the options of the command.

use crate::processes::*;
use crate::visitor::*;

#[test]
fn the_command_listens_on_loopback_and_checks_every_allow_option() {
    let echo = start(&["--allow", "192.0.2.7", "--allow", "10.0.0.0/8", "echo"], |_| {});
    assert!(echo.addr.ip().is_loopback());
    let mut stranger = connect(echo.addr);
    assert!(rest(&mut stranger).is_empty());
    assert_eq!(echo.line(), format!("refused {}: not allowed", stranger.local_addr().unwrap()));
    for (one, other) in [("192.0.2.7", "127.0.0.1"), ("127.0.0.1", "192.0.2.7")] {
        let echo = start(&["--allow", one, "--allow", other, "echo"], |_| {});
        ping(&mut connect(echo.addr)).unwrap();
    }
}
