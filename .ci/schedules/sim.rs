//! The threads, locks, channels, clocks and sockets of `std`, simulated with shuttle.
//!
//! All simulated threads are coroutines of shuttle on one OS thread. Time stands still while any thread can run; when none
//! can, it jumps to the next timer. A connection has a queue of `CAP` bytes at each end of each direction, and FIN and RST
//! behave as on Linux.

use std::cell::RefCell;
use std::sync::atomic::{AtomicBool as RealBool, AtomicU64 as RealU64, Ordering};
use std::sync::Arc;

pub struct World {
    pub now: RealU64,
    pub ops: RealU64,
    pub done: RealBool,
    /// At each turn of the clock a timer fires with a probability of 1/eager, even if other threads can run. 0: timers fire
    /// only when all threads are idle.
    pub eager: u64,
    pub timers: RefCell<Vec<(u64, u64, Arc<shuttle::sync::Condvar>)>>,
    pub ids: RealU64,
    pub net: RefCell<net::Net>,
    /// See `net::delay_reads`.
    pub read_delay: RealU64,
    pub net_cv: Arc<shuttle::sync::Condvar>,
    pub trace: RefCell<Vec<String>>,
    /// The number of condition variables and channels that exist.
    pub alive: Arc<RealU64>,
}
/// Whether events are recorded, which is done in a replay only.
pub static TRACING: RealBool = RealBool::new(false);
thread_local! { static WORLD: RefCell<Option<Arc<World>>> = RefCell::new(None); }
pub fn w() -> Arc<World> {
    WORLD.with(|w| w.borrow().clone().expect("called outside of world()"))
}
pub fn op() {
    WORLD.with(|w| {
        if let Some(w) = &*w.borrow() {
            w.ops.fetch_add(1, Ordering::Relaxed);
        }
    })
}
/// Records an event for the trace. `s` is called in a replay only, so it must not do anything that another thread could
/// notice, such as taking a lock: the replay would follow another schedule.
pub fn log(s: impl FnOnce() -> String) {
    if !TRACING.load(Ordering::Relaxed) {
        return;
    }
    let w = w();
    let who = format!("{:?}", shuttle::thread::current().id());
    let who = who.trim_start_matches("ThreadId { task_id: ").trim_end_matches(" }");
    let who = if who == "main-thread(0)" { "main".into() } else { who.replace("main-thread(", "thread(") };
    let line = format!("{:>10.3} ms  {who:<20} {}", w.now.load(Ordering::Relaxed) as f64 / 1e6, s());
    if let Ok(mut trace) = w.trace.try_borrow_mut() {
        trace.push(line)
    };
}
/// Prints the events that were recorded last.
pub fn dump(lines: usize) {
    let Some(w) = WORLD.with(|w| w.try_borrow().ok().and_then(|w| w.clone())) else { return };
    let Ok(trace) = w.trace.try_borrow() else { return };
    for line in &trace[trace.len().saturating_sub(lines)..] {
        println!("    {line}")
    }
}
/// A field of all objects that are counted in `World::alive`, to find leaks.
#[derive(Debug)]
struct Alive(Arc<RealU64>);
impl Alive {
    fn new() -> Alive {
        let count = w().alive.clone();
        count.fetch_add(1, Ordering::Relaxed);
        Alive(count)
    }
}
impl Drop for Alive {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}
pub fn alive() -> u64 {
    w().alive.load(Ordering::Relaxed)
}

/// Runs one schedule. `f` is the main thread.
pub fn world(eager: u64, f: impl FnOnce()) {
    let world = Arc::new(World {
        now: RealU64::new(1_000_000),
        ops: RealU64::new(0),
        done: RealBool::new(false),
        eager,
        timers: RefCell::new(Vec::new()),
        ids: RealU64::new(0),
        net: RefCell::new(net::Net::default()),
        read_delay: RealU64::new(0),
        net_cv: Arc::new(shuttle::sync::Condvar::new()),
        trace: RefCell::new(Vec::new()),
        alive: Arc::default(),
    });
    WORLD.with(|w| *w.borrow_mut() = Some(world.clone()));
    let clock = shuttle::thread::Builder::new().name("clock".into()).spawn(clock).unwrap();
    f();
    world.done.store(true, Ordering::Relaxed);
    clock.join().unwrap();
}

/// The timer that is due first; one at random if several are due at the same time.
fn next_timer(w: &World) -> Option<(u64, Arc<shuttle::sync::Condvar>)> {
    use shuttle::rand::Rng;
    let timers = w.timers.borrow();
    let at = timers.iter().map(|t| t.0).min()?;
    let due: Vec<_> = timers.iter().filter(|t| t.0 == at).collect();
    let which = if due.len() > 1 { shuttle::rand::thread_rng().gen_range(0..due.len()) } else { 0 };
    Some((at, due[which].2.clone()))
}

const IDLE: u64 = 60;
fn clock() {
    use shuttle::rand::Rng;
    let w = w();
    let (mut seen, mut quiet) = (0, 0);
    while !w.done.load(Ordering::Relaxed) {
        let ops = w.ops.load(Ordering::Relaxed);
        if ops == seen {
            quiet += 1
        } else {
            quiet = 0;
            seen = ops
        }
        let idle = quiet >= IDLE;
        let fire = idle || (w.eager > 0 && shuttle::rand::thread_rng().gen_range(0..w.eager) == 0);
        if fire {
            match next_timer(&w) {
                Some((at, cv)) => {
                    if at > w.now.load(Ordering::Relaxed) {
                        w.now.store(at, Ordering::Relaxed);
                    }
                    quiet = 0;
                    cv.notify_all();
                }
                None if quiet > 20 * IDLE => panic!("DEADLOCK: no thread can run and no timer is set"),
                None => {}
            }
        }
        shuttle::thread::yield_now();
    }
}

pub fn now() -> u64 {
    w().now.load(Ordering::Relaxed)
}

/// Calls `f` now and each time `cv` is notified, until it returns `Some`. Returns `None` after the deadline.
pub fn block_on<T>(
    cv: &Arc<shuttle::sync::Condvar>,
    deadline: Option<u64>,
    mut f: impl FnMut() -> Option<T>,
) -> Option<T> {
    block_moving(cv, deadline, |_| f())
}
/// The same for an operation that can make partial progress: if `f` sets the flag, the other threads are notified and `f` is
/// called again before this one blocks.
pub fn block_moving<T>(
    cv: &Arc<shuttle::sync::Condvar>,
    deadline: Option<u64>,
    mut f: impl FnMut(&mut bool) -> Option<T>,
) -> Option<T> {
    let m = shuttle::sync::Mutex::new(());
    let mut g = m.lock().unwrap_or_else(|e| e.into_inner());
    op();
    loop {
        let mut moved = false;
        if let Some(x) = f(&mut moved) {
            drop(g);
            return Some(x);
        }
        if moved {
            cv.notify_all();
            continue;
        }
        if deadline.map_or(false, |d| now() >= d) {
            drop(g);
            return None;
        }
        let id = deadline.map(|d| timer(d, cv));
        g = cv.wait(g).unwrap_or_else(|e| e.into_inner());
        op();
        if let Some(id) = id {
            w().timers.borrow_mut().retain(|t| t.1 != id)
        }
    }
}
fn timer(at: u64, cv: &Arc<shuttle::sync::Condvar>) -> u64 {
    let w = w();
    let id = w.ids.fetch_add(1, Ordering::Relaxed);
    w.timers.borrow_mut().push((at, id, cv.clone()));
    id
}

fn ns(d: std::time::Duration) -> u64 {
    d.as_nanos().min(u64::MAX as u128 / 4) as u64
}

pub mod time {
    use super::ns;
    use std::ops::{Add, AddAssign, Sub, SubAssign};
    pub use std::time::{Duration, SystemTimeError, TryFromFloatSecsError};
    /// The time of day at the simulated time 0, since the Unix epoch.
    const BOOTED: Duration = Duration::from_secs(1_700_000_000);
    #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Hash)]
    pub struct Instant(u64);
    impl Instant {
        pub fn now() -> Instant {
            Instant(super::now())
        }
        pub fn elapsed(&self) -> Duration {
            Instant::now().saturating_duration_since(*self)
        }
        pub fn saturating_duration_since(&self, o: Instant) -> Duration {
            Duration::from_nanos(self.0.saturating_sub(o.0))
        }
        pub fn duration_since(&self, o: Instant) -> Duration {
            self.saturating_duration_since(o)
        }
        pub fn checked_duration_since(&self, o: Instant) -> Option<Duration> {
            self.0.checked_sub(o.0).map(Duration::from_nanos)
        }
        pub fn checked_add(&self, d: Duration) -> Option<Instant> {
            u64::try_from(d.as_nanos()).ok().and_then(|d| self.0.checked_add(d)).map(Instant)
        }
        pub fn checked_sub(&self, d: Duration) -> Option<Instant> {
            u64::try_from(d.as_nanos()).ok().and_then(|d| self.0.checked_sub(d)).map(Instant)
        }
    }
    impl Add<Duration> for Instant {
        type Output = Instant;
        fn add(self, d: Duration) -> Instant {
            Instant(self.0 + ns(d))
        }
    }
    impl Sub<Duration> for Instant {
        type Output = Instant;
        fn sub(self, d: Duration) -> Instant {
            self.checked_sub(d).expect("a time before the start")
        }
    }
    impl Sub<Instant> for Instant {
        type Output = Duration;
        fn sub(self, o: Instant) -> Duration {
            self.saturating_duration_since(o)
        }
    }
    impl AddAssign<Duration> for Instant {
        fn add_assign(&mut self, d: Duration) {
            *self = *self + d
        }
    }
    impl SubAssign<Duration> for Instant {
        fn sub_assign(&mut self, d: Duration) {
            *self = *self - d
        }
    }
    #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Hash)]
    pub struct SystemTime(Duration);
    pub const UNIX_EPOCH: SystemTime = SystemTime(Duration::ZERO);
    impl SystemTime {
        pub const UNIX_EPOCH: SystemTime = UNIX_EPOCH;
        pub fn now() -> SystemTime {
            SystemTime(BOOTED + Duration::from_nanos(super::now()))
        }
        pub fn duration_since(&self, o: SystemTime) -> Result<Duration, SystemTimeError> {
            let real = std::time::UNIX_EPOCH;
            (real + self.0).duration_since(real + o.0)
        }
        pub fn elapsed(&self) -> Result<Duration, SystemTimeError> {
            SystemTime::now().duration_since(*self)
        }
        pub fn checked_add(&self, d: Duration) -> Option<SystemTime> {
            self.0.checked_add(d).map(SystemTime)
        }
        pub fn checked_sub(&self, d: Duration) -> Option<SystemTime> {
            self.0.checked_sub(d).map(SystemTime)
        }
    }
    impl Add<Duration> for SystemTime {
        type Output = SystemTime;
        fn add(self, d: Duration) -> SystemTime {
            SystemTime(self.0 + d)
        }
    }
    impl Sub<Duration> for SystemTime {
        type Output = SystemTime;
        fn sub(self, d: Duration) -> SystemTime {
            SystemTime(self.0 - d)
        }
    }
}

pub mod thread {
    pub use shuttle::thread::{
        current, scope, AccessError, LocalKey, Scope, ScopedJoinHandle, Thread, ThreadId,
    };
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::sync::Arc;
    pub use std::thread::{panicking, Result};
    pub fn yield_now() {
        super::op();
        shuttle::thread::yield_now()
    }
    pub fn park() {
        super::op();
        shuttle::thread::park();
        super::op()
    }
    pub fn sleep(d: std::time::Duration) {
        super::log(|| format!("sleeps for {d:?}"));
        let cv = Arc::new(shuttle::sync::Condvar::new());
        let _ = super::block_on::<()>(&cv, Some(super::now() + super::ns(d)), || None);
    }
    pub fn available_parallelism() -> std::io::Result<std::num::NonZeroUsize> {
        Ok(std::num::NonZeroUsize::new(1).unwrap())
    }
    #[derive(Debug)]
    pub struct JoinHandle<T> {
        inner: shuttle::thread::JoinHandle<T>,
        over: Arc<AtomicBool>,
    }
    impl<T> JoinHandle<T> {
        pub fn thread(&self) -> &Thread {
            self.inner.thread()
        }
        pub fn is_finished(&self) -> bool {
            self.over.load(Ordering::Relaxed)
        }
        pub fn join(self) -> Result<T> {
            let r = self.inner.join();
            super::op();
            r
        }
    }
    #[derive(Debug)]
    pub struct Builder(shuttle::thread::Builder);
    impl Builder {
        pub fn new() -> Builder {
            Builder(shuttle::thread::Builder::new())
        }
        pub fn name(self, n: String) -> Builder {
            Builder(self.0.name(n))
        }
        pub fn stack_size(self, _: usize) -> Builder {
            self
        }
        pub fn spawn<F: FnOnce() -> T + Send + 'static, T: Send + 'static>(
            self,
            f: F,
        ) -> std::io::Result<JoinHandle<T>> {
            let over = Arc::new(AtomicBool::new(false));
            let over2 = over.clone();
            let inner = self.0.spawn(move || {
                super::log(|| "starts".into());
                let r = f();
                super::log(|| "ends".into());
                super::op();
                over2.store(true, Ordering::Relaxed);
                r
            })?;
            Ok(JoinHandle { inner, over })
        }
    }
    pub fn spawn<F: FnOnce() -> T + Send + 'static, T: Send + 'static>(f: F) -> JoinHandle<T> {
        Builder::new().spawn(f).unwrap()
    }
}

pub mod sync {
    pub use shuttle::sync::{
        Barrier, BarrierWaitResult, MutexGuard, Once, OnceState, RwLock, RwLockReadGuard, RwLockWriteGuard,
    };
    /// Each use is counted by `op`, so a thread that only locks and unlocks does not look idle to the clock.
    #[derive(Debug, Default)]
    pub struct Mutex<T: ?Sized>(shuttle::sync::Mutex<T>);
    impl<T> Mutex<T> {
        pub fn new(t: T) -> Mutex<T> {
            Mutex(shuttle::sync::Mutex::new(t))
        }
        pub fn into_inner(self) -> LockResult<T> {
            self.0.into_inner()
        }
    }
    impl<T: ?Sized> Mutex<T> {
        pub fn lock(&self) -> LockResult<MutexGuard<'_, T>> {
            super::op();
            self.0.lock()
        }
        pub fn try_lock(&self) -> TryLockResult<MutexGuard<'_, T>> {
            super::op();
            self.0.try_lock()
        }
        pub fn get_mut(&mut self) -> LockResult<&mut T> {
            self.0.get_mut()
        }
    }
    pub use std::sync::{Arc, LockResult, PoisonError, TryLockError, TryLockResult, Weak};
    use std::time::Duration;
    #[derive(Debug)]
    pub struct Condvar {
        cv: Arc<shuttle::sync::Condvar>,
        _alive: super::Alive,
    }
    impl Default for Condvar {
        fn default() -> Self {
            Condvar { cv: Default::default(), _alive: super::Alive::new() }
        }
    }
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct WaitTimeoutResult(bool);
    impl WaitTimeoutResult {
        pub fn timed_out(&self) -> bool {
            self.0
        }
    }
    impl Condvar {
        pub fn new() -> Condvar {
            Condvar::default()
        }
        pub fn wait<'a, T>(&self, g: MutexGuard<'a, T>) -> LockResult<MutexGuard<'a, T>> {
            super::op();
            let r = self.cv.wait(g);
            super::op();
            r
        }
        pub fn wait_while<'a, T>(
            &self,
            mut g: MutexGuard<'a, T>,
            mut f: impl FnMut(&mut T) -> bool,
        ) -> LockResult<MutexGuard<'a, T>> {
            while f(&mut g) {
                g = self.wait(g)?
            }
            Ok(g)
        }
        pub fn wait_timeout<'a, T>(
            &self,
            g: MutexGuard<'a, T>,
            d: Duration,
        ) -> LockResult<(MutexGuard<'a, T>, WaitTimeoutResult)> {
            super::op();
            let at = super::now() + super::ns(d);
            let id = super::timer(at, &self.cv);
            let g = self.cv.wait(g).unwrap_or_else(|e| e.into_inner());
            super::op();
            super::w().timers.borrow_mut().retain(|t| t.1 != id);
            Ok((g, WaitTimeoutResult(super::now() >= at)))
        }
        pub fn wait_timeout_while<'a, T>(
            &self,
            mut g: MutexGuard<'a, T>,
            d: Duration,
            mut f: impl FnMut(&mut T) -> bool,
        ) -> LockResult<(MutexGuard<'a, T>, WaitTimeoutResult)> {
            let at = super::now() + super::ns(d);
            loop {
                if !f(&mut g) {
                    return Ok((g, WaitTimeoutResult(false)));
                }
                if super::now() >= at {
                    return Ok((g, WaitTimeoutResult(true)));
                }
                g = self.wait_timeout(g, Duration::from_nanos(at - super::now()))?.0;
            }
        }
        pub fn notify_one(&self) {
            super::op();
            self.cv.notify_one()
        }
        pub fn notify_all(&self) {
            super::op();
            self.cv.notify_all()
        }
    }
    pub mod atomic {
        pub use shuttle::sync::atomic::fence;
        pub use std::sync::atomic::Ordering;
        // They have all methods of shuttle's atomics. Each use is counted by `op`.
        macro_rules! counted { ($($name:ident $value:ty),*) => { $(
            #[derive(Debug, Default)] pub struct $name(shuttle::sync::atomic::$name);
            impl $name {
                pub const fn new(v: $value) -> Self { Self(shuttle::sync::atomic::$name::new(v)) }
                pub fn into_inner(self) -> $value { self.0.into_inner() }
            }
            impl std::ops::Deref for $name {
                type Target = shuttle::sync::atomic::$name;
                fn deref(&self) -> &Self::Target { super::super::op(); &self.0 }
            }
            impl std::ops::DerefMut for $name { fn deref_mut(&mut self) -> &mut Self::Target { &mut self.0 } }
        )* } }
        counted!(AtomicBool bool, AtomicU8 u8, AtomicU16 u16, AtomicU32 u32, AtomicU64 u64, AtomicUsize usize);
        counted!(AtomicI8 i8, AtomicI16 i16, AtomicI32 i32, AtomicI64 i64, AtomicIsize isize);
    }
    pub mod mpsc {
        use std::collections::VecDeque;
        pub use std::sync::mpsc::{RecvError, RecvTimeoutError, SendError, TryRecvError, TrySendError};
        use std::sync::{Arc, Mutex};
        struct Q<T> {
            items: VecDeque<T>,
            cap: usize,
            receiving: usize,
            senders: usize,
            open: bool,
        }
        struct Chan<T> {
            q: Mutex<Q<T>>,
            cv: Arc<shuttle::sync::Condvar>,
            _alive: super::super::Alive,
        }
        impl<T> Q<T> {
            /// A rendezvous channel has room while a receiver is waiting.
            fn has_room(&self) -> bool {
                self.items.len() < self.cap || (self.cap == 0 && self.items.len() < self.receiving)
            }
        }
        pub struct SyncSender<T>(Arc<Chan<T>>);
        pub struct Sender<T>(SyncSender<T>);
        pub struct Receiver<T>(Arc<Chan<T>>);
        impl<T> std::fmt::Debug for SyncSender<T> {
            fn fmt(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
                f.write_str("SyncSender")
            }
        }
        impl<T> std::fmt::Debug for Sender<T> {
            fn fmt(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
                f.write_str("Sender")
            }
        }
        impl<T> std::fmt::Debug for Receiver<T> {
            fn fmt(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
                f.write_str("Receiver")
            }
        }
        pub fn sync_channel<T>(cap: usize) -> (SyncSender<T>, Receiver<T>) {
            let q = Q { items: VecDeque::new(), cap, receiving: 0, senders: 1, open: true };
            let c = Arc::new(Chan {
                q: Mutex::new(q),
                cv: Default::default(),
                _alive: super::super::Alive::new(),
            });
            (SyncSender(c.clone()), Receiver(c))
        }
        pub fn channel<T>() -> (Sender<T>, Receiver<T>) {
            let (s, r) = sync_channel(usize::MAX);
            (Sender(s), r)
        }
        impl<T> Clone for SyncSender<T> {
            fn clone(&self) -> Self {
                self.0.q.lock().unwrap().senders += 1;
                SyncSender(self.0.clone())
            }
        }
        impl<T> Clone for Sender<T> {
            fn clone(&self) -> Self {
                Sender(self.0.clone())
            }
        }
        impl<T> Drop for SyncSender<T> {
            fn drop(&mut self) {
                let last = {
                    let mut q = self.0.q.lock().unwrap();
                    q.senders -= 1;
                    q.senders == 0
                };
                if last && !std::thread::panicking() {
                    super::super::op();
                    self.0.cv.notify_all()
                }
            }
        }
        impl<T> Drop for Receiver<T> {
            fn drop(&mut self) {
                let items = {
                    let mut q = self.0.q.lock().unwrap();
                    q.open = false;
                    std::mem::take(&mut q.items)
                };
                if !std::thread::panicking() {
                    super::super::op();
                    self.0.cv.notify_all()
                }
                drop(items);
            }
        }
        impl<T> Sender<T> {
            pub fn send(&self, t: T) -> Result<(), SendError<T>> {
                super::super::op();
                switch();
                self.0.send(t)
            }
        }
        impl<T> SyncSender<T> {
            pub fn send(&self, t: T) -> Result<(), SendError<T>> {
                let mut t = Some(t);
                let r = super::super::block_on(&self.0.cv, None, || {
                    let mut q = self.0.q.lock().unwrap();
                    if !q.open {
                        return Some(Err(SendError(t.take().unwrap())));
                    }
                    if q.has_room() {
                        q.items.push_back(t.take().unwrap());
                        return Some(Ok(()));
                    }
                    None
                })
                .unwrap();
                if r.is_ok() {
                    self.0.cv.notify_all()
                }
                r
            }
            pub fn try_send(&self, t: T) -> Result<(), TrySendError<T>> {
                super::super::op();
                switch();
                let r = {
                    let mut q = self.0.q.lock().unwrap();
                    if !q.open {
                        Err(TrySendError::Disconnected(t))
                    } else if q.has_room() {
                        q.items.push_back(t);
                        Ok(())
                    } else {
                        Err(TrySendError::Full(t))
                    }
                };
                if r.is_ok() {
                    self.0.cv.notify_all()
                }
                r
            }
        }
        /// Lets another thread run first.
        fn switch() {
            shuttle::thread::sleep(std::time::Duration::ZERO)
        }
        impl<T> Receiver<T> {
            fn look(&self) -> Option<Result<T, RecvError>> {
                let mut q = self.0.q.lock().unwrap();
                match q.items.pop_front() {
                    Some(t) => Some(Ok(t)),
                    None if q.senders == 0 => Some(Err(RecvError)),
                    None => None,
                }
            }
            fn wait(&self, deadline: Option<u64>) -> Option<Result<T, RecvError>> {
                let rendezvous = {
                    let mut q = self.0.q.lock().unwrap();
                    q.receiving += 1;
                    q.cap == 0
                };
                if rendezvous {
                    self.0.cv.notify_all()
                }
                let r = super::super::block_on(&self.0.cv, deadline, || self.look());
                self.0.q.lock().unwrap().receiving -= 1;
                if let Some(Ok(_)) = r {
                    self.0.cv.notify_all()
                }
                r
            }
            pub fn recv(&self) -> Result<T, RecvError> {
                self.wait(None).unwrap()
            }
            pub fn try_recv(&self) -> Result<T, TryRecvError> {
                super::super::op();
                switch();
                match self.look() {
                    Some(Ok(t)) => {
                        self.0.cv.notify_all();
                        Ok(t)
                    }
                    Some(Err(_)) => Err(TryRecvError::Disconnected),
                    None => Err(TryRecvError::Empty),
                }
            }
            pub fn recv_timeout(&self, d: std::time::Duration) -> Result<T, RecvTimeoutError> {
                match self.wait(Some(super::super::now() + super::super::ns(d))) {
                    Some(Ok(t)) => Ok(t),
                    Some(Err(_)) => Err(RecvTimeoutError::Disconnected),
                    None => Err(RecvTimeoutError::Timeout),
                }
            }
            pub fn iter(&self) -> impl Iterator<Item = T> + '_ {
                std::iter::from_fn(|| self.recv().ok())
            }
            pub fn try_iter(&self) -> impl Iterator<Item = T> + '_ {
                std::iter::from_fn(|| self.try_recv().ok())
            }
        }
        pub struct IntoIter<T>(Receiver<T>);
        impl<T> Iterator for IntoIter<T> {
            type Item = T;
            fn next(&mut self) -> Option<T> {
                self.0.recv().ok()
            }
        }
        impl<T> IntoIterator for Receiver<T> {
            type Item = T;
            type IntoIter = IntoIter<T>;
            fn into_iter(self) -> IntoIter<T> {
                IntoIter(self)
            }
        }
    }
}

/// Descriptors without a kernel: each one holds the object that it was made from.
pub mod os {
    pub mod fd {
        use crate::sim::net::{TcpListener, TcpStream};
        #[derive(Debug)]
        pub enum OwnedFd {
            Listener(TcpListener),
            Stream(TcpStream),
            File(std::fs::File),
        }
        impl From<TcpListener> for OwnedFd {
            fn from(l: TcpListener) -> OwnedFd {
                OwnedFd::Listener(l)
            }
        }
        impl From<TcpStream> for OwnedFd {
            fn from(s: TcpStream) -> OwnedFd {
                OwnedFd::Stream(s)
            }
        }
        impl From<std::fs::File> for OwnedFd {
            fn from(f: std::fs::File) -> OwnedFd {
                OwnedFd::File(f)
            }
        }
        impl From<OwnedFd> for TcpListener {
            fn from(fd: OwnedFd) -> TcpListener {
                match fd {
                    OwnedFd::Listener(l) => l,
                    _ => panic!("not a listener"),
                }
            }
        }
        impl From<OwnedFd> for TcpStream {
            fn from(fd: OwnedFd) -> TcpStream {
                match fd {
                    OwnedFd::Stream(s) => s,
                    OwnedFd::Listener(l) => TcpStream::of_listener(l),
                    _ => panic!("not a stream"),
                }
            }
        }
        impl OwnedFd {
            pub fn try_clone(&self) -> std::io::Result<OwnedFd> {
                Ok(match self {
                    OwnedFd::Listener(l) => l.try_clone()?.into(),
                    OwnedFd::Stream(s) => s.try_clone()?.into(),
                    OwnedFd::File(f) => f.try_clone()?.into(),
                })
            }
        }
    }
    pub mod unix {
        pub use super::fd as io;
    }
}

pub mod net {
    use std::collections::{HashMap, VecDeque};
    use std::io::{self, ErrorKind, IoSlice, Read, Write};
    pub use std::net::{
        AddrParseError, IpAddr, Ipv4Addr, Ipv6Addr, Shutdown, SocketAddr, SocketAddrV4, SocketAddrV6,
        ToSocketAddrs,
    };
    use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
    use std::sync::Arc;
    use std::time::Duration;
    /// The size of a socket's send buffer, and of its receive buffer.
    pub const CAP: usize = 4;
    const BACKLOG: usize = 4;
    #[derive(Default)]
    pub struct Net {
        listeners: HashMap<u16, Listening>,
        conns: Vec<[Side; 2]>,
        ports: u16,
    }
    #[derive(Default)]
    struct Listening {
        refs: usize,
        backlog: VecDeque<(usize, SocketAddr)>,
        /// Set by a shutdown: it accepts no more connections.
        shut: bool,
    }
    #[derive(Default, Debug)]
    struct Side {
        rx: VecDeque<u8>,
        tx: VecDeque<u8>,
        fin_rx: bool,
        fin_tx: bool,
        fin_sent: bool,
        shut_rd: bool,
        shut_wr: bool,
        closed: bool,
        refs: usize,
        err: Option<ErrorKind>,
        dead: bool,
    }
    fn with<R>(f: impl FnOnce(&mut Net) -> R) -> R {
        let w = super::w();
        let mut n = w.net.borrow_mut();
        let r = f(&mut n);
        n.pump();
        r
    }
    fn changed() {
        super::op();
        super::w().net_cv.notify_all()
    }
    impl Side {
        fn reset(&mut self) {
            // As in Linux's tcp_reset: EPIPE in CLOSE_WAIT, no error in CLOSE. The receive queue stays readable.
            if self.dead {
                return;
            }
            self.err = Some(if self.fin_rx && !self.shut_wr {
                ErrorKind::BrokenPipe
            } else {
                ErrorKind::ConnectionReset
            });
            self.dead = true;
            self.tx.clear();
        }
    }
    impl Net {
        fn pump(&mut self) {
            for c in &mut self.conns {
                let (a, b) = c.split_at_mut(1);
                let (a, b) = (&mut a[0], &mut b[0]);
                one(a, b);
                one(b, a);
                fn one(from: &mut Side, to: &mut Side) {
                    if from.dead {
                        return;
                    }
                    if !from.tx.is_empty() && !to.dead && (to.closed || (to.shut_rd && to.shut_wr)) {
                        // Data for a socket that is closed, or shut down in both directions (Linux: TCPABORTONDATA).
                        to.reset();
                        from.reset();
                        return;
                    }
                    if to.dead {
                        if !from.tx.is_empty() {
                            from.reset()
                        }
                        return;
                    }
                    while to.rx.len() < CAP {
                        match from.tx.pop_front() {
                            Some(x) => to.rx.push_back(x),
                            None => break,
                        }
                    }
                    if from.tx.is_empty() && from.fin_tx && !from.fin_sent {
                        from.fin_sent = true;
                        to.fin_rx = true;
                    }
                }
            }
        }
        fn close(&mut self, (c, s): (usize, usize)) {
            let me = &mut self.conns[c][s];
            me.refs -= 1;
            if me.refs > 0 {
                return;
            }
            me.closed = true;
            me.shut_rd = true;
            me.shut_wr = true;
            if !me.rx.is_empty() && !me.dead {
                me.dead = true;
                me.tx.clear();
                self.conns[c][1 - s].reset();
            } else {
                me.fin_tx = true;
            }
        }
    }
    #[derive(Debug, Default)]
    struct Settings {
        nonblocking: AtomicBool,
        rt: AtomicU64,
        wt: AtomicU64,
    }
    #[derive(Debug)]
    pub struct TcpStream {
        id: (usize, usize),
        peer: SocketAddr,
        local: SocketAddr,
        set: Arc<Settings>,
        /// Set in a stream that was made from a listener's descriptor. Its only use is `shutdown`.
        listener: Option<TcpListener>,
    }
    impl Drop for TcpStream {
        fn drop(&mut self) {
            if std::thread::panicking() || self.listener.is_some() {
                return;
            }
            let (last, reset) = with(|n| {
                let last = n.conns[self.id.0][self.id.1].refs == 1;
                let unread = !n.conns[self.id.0][self.id.1].rx.is_empty();
                n.close(self.id);
                (last, unread)
            });
            if last {
                self.note(|| format!("closed{}", if reset { " with unread bytes: RST" } else { "" }))
            }
            changed()
        }
    }
    fn store(t: &AtomicU64, d: Option<Duration>) -> io::Result<()> {
        if d == Some(Duration::ZERO) {
            return Err(ErrorKind::InvalidInput.into());
        }
        t.store(d.map_or(0, |d| super::ns(d).max(1000)), Ordering::Relaxed);
        Ok(())
    }
    impl TcpStream {
        fn note(&self, what: impl FnOnce() -> String) {
            super::log(|| {
                format!(
                    "{} {}: {}",
                    if self.id.1 == 0 { "client" } else { "server's end of" },
                    if self.id.1 == 0 { self.local.port() } else { self.peer.port() },
                    what()
                )
            })
        }
        pub fn connect(a: impl ToSocketAddrs) -> io::Result<TcpStream> {
            TcpStream::connect_from([127, 0, 0, 1].into(), a)
        }
        /// Connects from this address, as if the socket were bound to it. Only for scenarios.
        pub fn connect_from(ip: IpAddr, a: impl ToSocketAddrs) -> io::Result<TcpStream> {
            TcpStream::dial(ip, a.to_socket_addrs()?.next().unwrap(), None)
        }
        pub fn connect_timeout(a: &SocketAddr, d: Duration) -> io::Result<TcpStream> {
            TcpStream::dial([127, 0, 0, 1].into(), *a, Some(super::now() + super::ns(d)))
        }
        fn dial(ip: IpAddr, a: SocketAddr, deadline: Option<u64>) -> io::Result<TcpStream> {
            let r: io::Result<TcpStream> = super::block_on(&super::w().net_cv, deadline, || {
                with(|n| {
                    let port = 40000 + n.ports;
                    let local = SocketAddr::new(ip, port);
                    match n.listeners.get_mut(&a.port()) {
                        None => Some(Err(ErrorKind::ConnectionRefused.into())),
                        Some(l) if l.shut => Some(Err(ErrorKind::ConnectionRefused.into())),
                        Some(l) if l.backlog.len() < BACKLOG => {
                            let id = n.conns.len();
                            l.backlog.push_back((id, local));
                            n.ports += 1;
                            n.conns.push([
                                Side { refs: 1, ..Side::default() },
                                Side { refs: 1, ..Side::default() },
                            ]);
                            Some(Ok(TcpStream::new((id, 0), a, local)))
                        }
                        _ => None,
                    }
                })
            })
            .unwrap_or(Err(ErrorKind::TimedOut.into()));
            match &r {
                Ok(c) => c.note(|| "connected".into()),
                Err(e) => super::log(|| format!("cannot connect: {:?}", e.kind())),
            }
            changed();
            r
        }
        fn new(id: (usize, usize), peer: SocketAddr, local: SocketAddr) -> TcpStream {
            TcpStream { id, peer, local, set: Arc::default(), listener: None }
        }
        pub(crate) fn of_listener(l: TcpListener) -> TcpStream {
            let local = l.local_addr().unwrap();
            TcpStream { id: (usize::MAX, 0), peer: local, local, set: Arc::default(), listener: Some(l) }
        }
        pub fn local_addr(&self) -> io::Result<SocketAddr> {
            Ok(self.local)
        }
        pub fn try_clone(&self) -> io::Result<TcpStream> {
            with(|n| n.conns[self.id.0][self.id.1].refs += 1);
            Ok(TcpStream {
                id: self.id,
                peer: self.peer,
                local: self.local,
                set: self.set.clone(),
                listener: None,
            })
        }
        pub fn peek(&self, into: &mut [u8]) -> io::Result<usize> {
            self.take(into, false)
        }
        pub fn take_error(&self) -> io::Result<Option<io::Error>> {
            Ok(with(|n| n.conns[self.id.0][self.id.1].err.take()).map(|e| e.into()))
        }
        pub fn nodelay(&self) -> io::Result<bool> {
            Ok(true)
        }
        pub fn read_timeout(&self) -> io::Result<Option<Duration>> {
            Ok(Some(self.set.rt.load(Ordering::Relaxed)).filter(|t| *t > 0).map(Duration::from_nanos))
        }
        pub fn write_timeout(&self) -> io::Result<Option<Duration>> {
            Ok(Some(self.set.wt.load(Ordering::Relaxed)).filter(|t| *t > 0).map(Duration::from_nanos))
        }
        /// Fails once the connection is reset, or both sides have closed it.
        pub fn peer_addr(&self) -> io::Result<SocketAddr> {
            let (c, s) = self.id;
            let over = with(|n| {
                let me = &n.conns[c][s];
                me.dead || (me.fin_sent && me.fin_rx)
            });
            if over {
                Err(ErrorKind::NotConnected.into())
            } else {
                Ok(self.peer)
            }
        }
        /// Gives the other end an error that its connection survives, such as an ICMP "unreachable". The next call there
        /// that can fail reports it. Only for scenarios.
        pub fn disturb_peer(&self, error: ErrorKind) {
            let (c, s) = self.id;
            self.note(|| format!("the other end has an error: {error:?}"));
            with(|n| {
                let peer = &mut n.conns[c][1 - s];
                if !peer.dead {
                    peer.err = Some(error)
                }
            });
            changed()
        }
        pub fn set_nodelay(&self, _: bool) -> io::Result<()> {
            Ok(())
        }
        pub fn set_nonblocking(&self, b: bool) -> io::Result<()> {
            self.set.nonblocking.store(b, Ordering::Relaxed);
            Ok(())
        }
        pub fn set_read_timeout(&self, d: Option<Duration>) -> io::Result<()> {
            store(&self.set.rt, d)
        }
        pub fn set_write_timeout(&self, d: Option<Duration>) -> io::Result<()> {
            store(&self.set.wt, d)
        }
        pub fn shutdown(&self, how: Shutdown) -> io::Result<()> {
            if let Some(l) = &self.listener {
                super::log(|| format!("shuts the listener on {} down", l.port));
                with(|n| n.listeners.get_mut(&l.port).unwrap().shut = true);
                changed();
                return Ok(());
            }
            let (c, s) = self.id;
            self.note(|| format!("shutdown {how:?}"));
            with(|n| {
                let me = &mut n.conns[c][s];
                if how != Shutdown::Write {
                    me.shut_rd = true
                }
                if how != Shutdown::Read {
                    me.shut_wr = true;
                    me.fin_tx = true
                }
            });
            changed();
            Ok(())
        }
        fn deadline(&self, t: &AtomicU64) -> Option<u64> {
            if self.set.nonblocking.load(Ordering::Relaxed) {
                return Some(0);
            }
            Some(t.load(Ordering::Relaxed)).filter(|t| *t > 0).map(|t| super::now() + t)
        }
        /// Before a read: waits until there is something to read, and then for the time of `delay_reads`.
        fn wait_longer(&self) {
            let delay = super::w().read_delay.load(Ordering::Relaxed);
            if delay == 0 || self.set.nonblocking.load(Ordering::Relaxed) {
                return;
            }
            let (c, s) = self.id;
            let mut waited = false;
            super::block_on(&super::w().net_cv, self.deadline(&self.set.rt), || {
                with(|n| {
                    let me = &n.conns[c][s];
                    let ready = !me.rx.is_empty() || me.fin_rx || me.err.is_some() || me.shut_rd || me.dead;
                    waited |= !ready;
                    ready.then_some(())
                })
            });
            if waited {
                super::thread::sleep(Duration::from_nanos(delay))
            }
        }
        fn get(&self, into: &mut [u8]) -> io::Result<usize> {
            self.take(into, true)
        }
        fn take(&self, into: &mut [u8], away: bool) -> io::Result<usize> {
            let (c, s) = self.id;
            if away && s == 1 {
                self.wait_longer()
            }
            let r: io::Result<usize> =
                super::block_on(&super::w().net_cv, self.deadline(&self.set.rt), || {
                    with(|n| {
                        let me = &mut n.conns[c][s];
                        if !me.rx.is_empty() {
                            let k = me.rx.len().min(into.len());
                            for (b, x) in into.iter_mut().zip(&me.rx) {
                                *b = *x
                            }
                            if away {
                                me.rx.drain(..k);
                            }
                            return Some(Ok(k));
                        }
                        if me.fin_rx {
                            return Some(Ok(0));
                        }
                        if let Some(e) = me.err.take() {
                            return Some(Err(e.into()));
                        }
                        if me.shut_rd || me.dead {
                            return Some(Ok(0));
                        }
                        None
                    })
                })
                .unwrap_or(Err(ErrorKind::WouldBlock.into()));
            match &r {
                Ok(0) => self.note(|| "reads the end".into()),
                Ok(k) => self.note(|| format!("reads {k}")),
                Err(e) => self.note(|| format!("read: {:?}", e.kind())),
            }
            changed();
            r
        }
        fn put(&self, bytes: &[u8]) -> io::Result<usize> {
            let (c, s) = self.id;
            let mut done = 0;
            let r = super::block_moving(&super::w().net_cv, self.deadline(&self.set.wt), |moved| {
                let before = done;
                let r = with(|n| {
                    let me = &mut n.conns[c][s];
                    if let Some(e) = me.err {
                        if done > 0 {
                            return Some(Ok(done));
                        }
                        me.err = None;
                        return Some(Err(e.into()));
                    }
                    if me.shut_wr || me.dead {
                        return Some(if done > 0 { Ok(done) } else { Err(ErrorKind::BrokenPipe.into()) });
                    }
                    while done < bytes.len() && me.tx.len() < CAP {
                        me.tx.push_back(bytes[done]);
                        done += 1
                    }
                    if done == bytes.len() {
                        return Some(Ok(done));
                    }
                    None
                });
                if done > before {
                    *moved = true
                }
                r
            });
            let r: io::Result<usize> =
                r.unwrap_or(if done > 0 { Ok(done) } else { Err(ErrorKind::WouldBlock.into()) });
            match &r {
                Ok(k) => self.note(|| format!("writes {k} of {}", bytes.len())),
                Err(e) => self.note(|| format!("write: {:?}", e.kind())),
            }
            changed();
            r
        }
    }
    impl Read for &TcpStream {
        fn read(&mut self, b: &mut [u8]) -> io::Result<usize> {
            self.get(b)
        }
    }
    impl Write for &TcpStream {
        fn write(&mut self, b: &[u8]) -> io::Result<usize> {
            self.put(b)
        }
        fn write_vectored(&mut self, s: &[IoSlice<'_>]) -> io::Result<usize> {
            let all: Vec<u8> = s.iter().flat_map(|s| s.iter().copied()).collect();
            self.put(&all)
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    impl Read for TcpStream {
        fn read(&mut self, b: &mut [u8]) -> io::Result<usize> {
            self.get(b)
        }
    }
    impl Write for TcpStream {
        fn write(&mut self, b: &[u8]) -> io::Result<usize> {
            self.put(b)
        }
        fn write_vectored(&mut self, s: &[IoSlice<'_>]) -> io::Result<usize> {
            (&*self).write_vectored(s)
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    #[derive(Debug)]
    pub struct TcpListener {
        port: u16,
        nonblocking: Arc<AtomicBool>,
    }
    impl TcpListener {
        pub fn bind<A: ToSocketAddrs>(a: A) -> io::Result<TcpListener> {
            let a = a.to_socket_addrs()?.next().unwrap();
            super::op();
            with(|n| {
                let mut port = a.port();
                if port == 0 {
                    port = 1600;
                    while n.listeners.contains_key(&port) {
                        port += 1
                    }
                }
                if n.listeners.contains_key(&port) {
                    return Err(ErrorKind::AddrInUse.into());
                }
                n.listeners.insert(port, Listening { refs: 1, ..Listening::default() });
                super::log(|| format!("listens on {port}"));
                Ok(TcpListener { port, nonblocking: Arc::default() })
            })
        }
        pub fn local_addr(&self) -> io::Result<SocketAddr> {
            Ok(([127, 0, 0, 1], self.port).into())
        }
        pub fn set_nonblocking(&self, b: bool) -> io::Result<()> {
            self.nonblocking.store(b, Ordering::Relaxed);
            Ok(())
        }
        pub fn take_error(&self) -> io::Result<Option<io::Error>> {
            Ok(None)
        }
        pub fn incoming(&self) -> impl Iterator<Item = io::Result<TcpStream>> + '_ {
            std::iter::from_fn(|| Some(self.accept().map(|(stream, _)| stream)))
        }
        pub fn try_clone(&self) -> io::Result<TcpListener> {
            with(|n| n.listeners.get_mut(&self.port).unwrap().refs += 1);
            Ok(TcpListener { port: self.port, nonblocking: self.nonblocking.clone() })
        }
        pub fn accept(&self) -> io::Result<(TcpStream, SocketAddr)> {
            let deadline = Some(0).filter(|_| self.nonblocking.load(Ordering::Relaxed));
            let r = super::block_on(&super::w().net_cv, deadline, || {
                with(|n| {
                    let l = n.listeners.get_mut(&self.port).unwrap();
                    if l.shut {
                        Some(None)
                    } else {
                        l.backlog.pop_front().map(Some)
                    }
                })
            })
            .ok_or(ErrorKind::WouldBlock)?
            .ok_or(ErrorKind::InvalidInput)?;
            changed();
            let stream = TcpStream::new((r.0, 1), r.1, self.local_addr()?);
            stream.note(|| "accepted".into());
            Ok((stream, r.1))
        }
    }
    impl Drop for TcpListener {
        fn drop(&mut self) {
            if std::thread::panicking() {
                return;
            }
            with(|n| {
                let l = n.listeners.get_mut(&self.port).unwrap();
                l.refs -= 1;
                if l.refs == 0 {
                    super::log(|| format!("stops listening on {}", self.port));
                    let l = n.listeners.remove(&self.port).unwrap();
                    for (c, _) in l.backlog {
                        let s = &mut n.conns[c][1];
                        s.dead = true;
                        s.closed = true;
                        n.conns[c][0].reset()
                    }
                }
            });
            changed()
        }
    }
    /// From now on, each read of the server that has to wait returns this long after there is something to read, as on a
    /// machine under load. Only for scenarios.
    pub fn delay_reads(d: Duration) {
        super::w().read_delay.store(super::ns(d), Ordering::Relaxed)
    }
    /// The numbers of open sockets on the server's side, and of listeners.
    pub fn open_sockets() -> (usize, usize) {
        with(|n| (n.conns.iter().filter(|c| !c[1].closed).count(), n.listeners.len()))
    }
}
