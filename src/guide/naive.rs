use std::io::{self, BufRead, BufReader, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{channel, Receiver, Sender};
use std::sync::Arc;
use std::thread;

/// What the application answers to a line; `None` ends the session.
type Answer = Option<Vec<u8>>;

pub struct Naive {
    pub addr: SocketAddr,
    /// How many bytes of answers have not been written yet.
    pub queued: Arc<AtomicUsize>,
}

impl Naive {
    pub fn start(application: fn(&str) -> Answer) -> io::Result<Naive> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let server = Naive { addr: listener.local_addr()?, queued: Arc::default() };
        let (lines_in, lines_out) = channel::<String>();
        let (answers_in, answers_out) = channel::<Answer>();

        let (answers, queued) = (answers_in.clone(), server.queued.clone());
        thread::spawn(move || {
            for line in lines_out {
                let answer = application(&line);
                queued.fetch_add(answer.as_ref().map_or(0, Vec::len), Ordering::Relaxed);
                answers.send(answer).expect("the server never exits");
            }
        });
        let queued = server.queued.clone();
        thread::spawn(move || loop {
            let (stream, _) = listener.accept().expect("accept does not fail");
            // An error is about one client.
            let _ = serve(stream, &lines_in, &answers_in, &answers_out, &queued);
        });
        Ok(server)
    }
}

fn serve(
    stream: TcpStream,
    lines: &Sender<String>,
    answers_in: &Sender<Answer>,
    answers_out: &Receiver<Answer>,
    queued: &AtomicUsize,
) -> io::Result<()> {
    let reading = BufReader::new(stream.try_clone()?);
    let (lines, ends) = (lines.clone(), answers_in.clone());
    thread::spawn(move || {
        for line in reading.lines().map_while(|line| line.ok()) {
            lines.send(line).expect("the application never exits");
        }
        ends.send(None).expect("the server never exits"); // the client has left
    });
    while let Ok(Some(answer)) = answers_out.recv() {
        (&stream).write_all(&answer)?;
        queued.fetch_sub(answer.len(), Ordering::Relaxed);
    }
    stream.shutdown(Shutdown::Both)
}
