//! Owns the text of `--help`, at most 80 columns wide.

pub const HELP: &str = "\
A TCP server that serves one client at a time

Usage: single-server [OPTIONS] COMMAND

Commands:
  echo                     Send every byte back
  pipe                     Connect the client to standard input and output
      --recv-only          Do not read standard input
      --send-only          Discard what the client sends; exit when all of
                           standard input has been sent
      --live               Discard standard input while nobody is connected
  exec [--] CMD [ARG...]   Run a process for each client, connected to its
                           standard input and output
      --stderr             Connect standard error, too
      --inetd              Give it the connection itself, as inetd does; not
                           with --idle-timeout (Unix)
      --exit-timeout TIME  How long a process may run on after its client has
                           left, while the next client waits; then SIGTERM, and
                           SIGKILL 2s later [default: 10s; 0: no limit]
  forward HOST:PORT        Connect each client to that TCP server
      --retry TIME         Retry the target for up to TIME, while the client
                           waits [default: 0]

Options:
  -l, --listen [ADDR:]PORT|stdin
                           Where to listen [default: 127.0.0.1:1601]; port 0:
                           any free port; stdin: a listening socket passed as
                           standard input (Unix)
  -b, --busy POLICY        What happens to a second client: drop, refuse, wait
                           or replace [default: drop]
      --busy-message TEXT  Send this line to a second client (drop only)
  -a, --allow IP[/PREFIX]  Accept only these addresses; repeatable
                           [default: everyone who can reach the server]
      --idle-timeout TIME  End a session in which no byte moves
                           [default: none]
      --close-timeout TIME
                           End a session in which no byte moves after its
                           client has closed [default: 60s; 0: none]
      --session-timeout TIME
                           End a session after that time, even if bytes move
                           [default: none]
      --handover TIME      How long a new client waits for one that is leaving
                           [default: 1s]
      --buffer-size SIZE   Size of a buffer, such as 4096, 64K or 1M
                           [default: 256K]
      --depth NUMBER       Buffers queued in each direction [default: 4]
  -1, --once               Exit after the first client, with 1 if it could not
                           be served
  -q, --quiet              Print errors only
  -h, --help               Print this help
  -V, --version            Print the version

TIME is in seconds unless it has a unit: 500ms, 10s, 2m, 1h. Options may stand
before or after the command's name; for exec, before the program's name.

Examples:
  single-server echo
  ( flock -n 0 && stty 115200 raw -echo clocal &&
    exec single-server -l 7000 pipe ) <>/dev/ttyUSB0 >&0
  single-server --busy-message 'One at a time.' exec --stderr -- sh
  single-server --busy wait --idle-timeout 1m forward printer:9100

Signals: there is no handler. SIGTERM and SIGINT end the server at once, and
bytes still queued for the client are lost. A process of exec then reads end of
file; if it ignores that, it keeps running. A process of exec --inetd keeps
serving its client. As process 1 of a container the server ignores SIGTERM:
start the container with --init, or use tini.

Exit status: 0 after --once, 1 on failure, 2 on a usage error.
";
