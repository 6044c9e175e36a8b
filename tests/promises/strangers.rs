//! Promise 10, *strangers stay out*: the allow-list is checked before the busy flag.

use std::io::Write;
use std::net::{SocketAddr, TcpListener};
use std::sync::mpsc;

use single_server::{Busy, Options, Prefix, Refusal, Signal};

use crate::visitor::*;

fn next_refusal(echo: &Echo) -> (SocketAddr, Refusal) {
    loop {
        if let Signal::Refused { peer, why } = echo.signals.recv_timeout(DEADLINE).unwrap() {
            return (peer, why);
        }
    }
}

#[test]
fn a_client_not_on_the_allow_list_is_refused_under_every_policy() {
    let allowed: Prefix = "192.0.2.0/24".parse().unwrap();
    // The policy makes no difference, and the busy message is not sent: it is for clients that may try again.
    for policy in [Busy::Drop, Busy::tell("in use"), Busy::Refuse, Busy::Wait, Busy::Replace] {
        let echo = echo(Options::new().busy(policy).allow(allowed));
        for _ in 0..3 {
            let mut stranger = connect(echo.addr);
            assert!(rest(&mut stranger).is_empty());
            assert_eq!(next_refusal(&echo), (stranger.local_addr().unwrap(), Refusal::NotAllowed));
        }
    }
}

#[test]
fn a_client_not_on_the_allow_list_does_not_disturb_the_served_client() {
    if TcpListener::bind("[::1]:0").is_err() || !dual_stack() {
        return skipped("no IPv6 listener that takes IPv4 clients too");
    }
    // On a listener for both families, the system reports a client from 127.0.0.1 as ::ffff:127.0.0.1.
    for policy in [Busy::tell("in use"), Busy::Replace] {
        let server = Options::new().busy(policy).allow("::1".parse().unwrap()).bind("[::]:0").unwrap();
        let port = server.local_addr().port();
        let signals = server.signal();
        let control = server.control();
        let serving = std::thread::spawn(move || single_server::echo(&server));
        let mut friend = connect(SocketAddr::from(([0, 0, 0, 0, 0, 0, 0, 1], port)));
        ping(&mut friend).unwrap();
        let mut stranger = connect(SocketAddr::from(([127, 0, 0, 1], port)));
        assert!(rest(&mut stranger).is_empty());
        ping(&mut friend).unwrap();
        assert!(signals
            .try_iter()
            .any(|signal| matches!(signal, Signal::Refused { why: Refusal::NotAllowed, .. })));
        control.stop();
        in_time("the echo", move || serving.join().unwrap());
    }
}

#[test]
fn an_ipv4_client_on_a_listener_for_both_families_has_an_ipv4_address_and_matches_an_ipv4_prefix() {
    if !dual_stack() {
        return skipped("no IPv6 listener that takes IPv4 clients too");
    }
    let server = Options::new().allow("127.0.0.0/8".parse().unwrap()).bind("[::]:0").unwrap();
    let addr = SocketAddr::from(([127, 0, 0, 1], server.local_addr().port()));
    let signals = server.signal();
    let friend = connect(addr);
    assert_eq!(next_connected(&signals), friend.local_addr().unwrap());
}

#[test]
fn prefixes_are_parsed_matched_and_printed_correctly() {
    let holds = |prefix: &str, ip: &str| prefix.parse::<Prefix>().unwrap().contains(ip.parse().unwrap());
    for (prefix, inside, outside) in [
        ("10.1.2.3", "10.1.2.3", "10.1.2.4"),
        ("10.1.2.3/32", "::ffff:10.1.2.3", "::10.1.2.3"),
        ("10.1.2.3/31", "10.1.2.2", "10.1.2.4"),
        ("10.128.0.0/9", "10.255.255.255", "10.127.255.255"),
        ("0.0.0.0/0", "255.255.255.255", "::1"),
        ("::/0", "fe80::1", "1.2.3.4"),
        ("::1", "::1", "::2"),
        ("2001:db8:8000::/33", "2001:db8:ffff::", "2001:db8:7fff::"),
        ("::ffff:10.0.0.0/104", "10.9.9.9", "11.0.0.1"),
    ] {
        assert!(holds(prefix, inside), "{prefix} should contain {inside}");
        assert!(!holds(prefix, outside), "{prefix} should not contain {outside}");
    }
    for wrong in [
        "",
        "/",
        "/8",
        "10.0.0.0/",
        "10.0.0.0/33",
        "10.0.0.0/4294967295",
        "10.0.0.0/-1",
        "10.0.0.0/+8",
        "10.0.0/8",
        "::/129",
        "::ffff:10.0.0.0/8",
        "here",
    ] {
        let error = wrong.parse::<Prefix>().unwrap_err().to_string();
        assert!(error.contains(&format!("{wrong:?}")), "{error}");
    }
    assert_eq!("10.1.2.3/8".parse::<Prefix>().unwrap().to_string(), "10.0.0.0/8");
    assert_eq!("::FFFF:10.1.2.3".parse::<Prefix>().unwrap().to_string(), "10.1.2.3/32");
    assert_eq!("2001:db8::1/32".parse::<Prefix>().unwrap().to_string(), "2001:db8::/32");
}

#[test]
fn wait_refuses_clients_not_on_the_allow_list_while_a_client_is_served() {
    if TcpListener::bind("[::1]:0").is_err() || !dual_stack() {
        return skipped("no IPv6 listener that takes IPv4 clients too");
    }
    let options = Options::new().busy(Busy::Wait).allow("::1".parse().unwrap());
    let echo = echo_on("[::]:0", options);
    let friends = SocketAddr::from(([0, 0, 0, 0, 0, 0, 0, 1], echo.addr.port()));
    let strangers = SocketAddr::from(([127, 0, 0, 1], echo.addr.port()));
    let mut friend = connect(friends);
    ping(&mut friend).unwrap();
    for _ in 0..500 {
        assert!(rest(&mut connect(strangers)).is_empty());
    }
    // An allowed client waits behind them, and is served when the slot is free.
    let mut next = connect(friends);
    next.write_all(b"ping").unwrap();
    ping(&mut friend).unwrap();
    drop(friend);
    let mut back = [0; 4];
    std::io::Read::read_exact(&mut next, &mut back).unwrap();
    assert_eq!(&back, b"ping");
}

#[test]
fn a_stop_ends_the_wait_of_a_newcomer_for_the_slot() {
    let echo = echo(Options::new().busy(Busy::Wait).stop_timeout(std::time::Duration::ZERO));
    let mut first = connect(echo.addr);
    ping(&mut first).unwrap();
    let mut second = connect(echo.addr);
    echo.stop();
    assert!(rest(&mut second).is_empty());
}

#[test]
fn the_admit_hook_is_asked_about_each_client_that_would_get_the_slot_and_about_no_other() {
    let (asking, asked) = mpsc::channel();
    let mut answers = [false, true].into_iter();
    let echo = echo(Options::new().admit(move |peer| {
        asking.send(peer).unwrap();
        answers.next().unwrap()
    }));
    let mut stranger = connect(echo.addr);
    assert!(rest(&mut stranger).is_empty());
    assert_eq!(next_refusal(&echo), (stranger.local_addr().unwrap(), Refusal::NotAdmitted));
    let mut friend = connect(echo.addr);
    ping(&mut friend).unwrap();
    let mut second = connect(echo.addr);
    assert!(rest(&mut second).is_empty());
    assert_eq!(next_refusal(&echo), (second.local_addr().unwrap(), Refusal::Busy));
    ping(&mut friend).unwrap();
    let both = [stranger, friend].map(|client| client.local_addr().unwrap());
    assert_eq!(asked.try_iter().collect::<Vec<_>>(), both);
}
