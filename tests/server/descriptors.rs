//! A process without file descriptors left. The limit is the process's, hence a process of its own.

use std::{
    fs::File,
    io::{Read, Seek},
    process::Stdio,
    time::Duration,
};

use tokio::{net::TcpStream, process::Command};

use crate::fixture::{Running, generous, patiently};

const LIMIT: usize = 40;

/// Set in the process that has the limit.
const CHILD: &str = "KEYPORTER_TEST_CHILD";

#[cfg(unix)]
#[tokio::test]
async fn running_out_of_file_descriptors_is_survived() {
    let child = Command::new("sh")
        .arg("-c")
        .arg(format!(
            "ulimit -n {LIMIT} && exec \"$0\" --exact descriptors::child --ignored --nocapture"
        ))
        .arg(std::env::current_exe().unwrap())
        .env(CHILD, "")
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output();
    let output = patiently(child).await.unwrap();
    assert!(
        output.status.success(),
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
}

#[tokio::test]
#[ignore = "runs in the process that the test above starts"]
async fn child() {
    if std::env::var_os(CHILD).is_none() {
        return;
    }
    let server = Running::start(generous()).await;

    // Each connection takes two descriptors here: the client's and, once it is accepted, the server's.
    let mut processor_time = ProcessorTime::open();
    let spare = File::open("/dev/null").unwrap();
    let mut crowd = Vec::new();
    while let Ok(stream) = TcpStream::connect(server.address).await {
        crowd.push(stream);
        assert!(crowd.len() <= LIMIT, "the limit does not hold");
    }
    // One more for a client, and none for the accept.
    drop(spare);
    let last = TcpStream::connect(server.address).await.unwrap();
    let before = processor_time.seconds();
    tokio::time::sleep(Duration::from_secs(2)).await;
    let spent = processor_time.seconds() - before;
    assert!(spent < 1.0, "a busy loop: {spent} s of processor time");

    let accepted = format!("keyporter_open_connections {}", crowd.len() + 1);
    assert!(
        !server.metrics.encode().contains(&accepted),
        "the accept did not fail"
    );

    drop(crowd);
    drop(last);
    let (status, _, _) = patiently(server.client().get(&server.url("/")))
        .await
        .unwrap();
    assert_eq!(status, 200);
}

/// What this process has computed, from a file that is open before the descriptors run out.
struct ProcessorTime(Option<File>);

impl ProcessorTime {
    fn open() -> Self {
        Self(File::open("/proc/self/stat").ok())
    }

    /// In seconds (`proc_pid_stat(5)`, fields 14 and 15, in hundredths of a second); 0 where there is no such file.
    fn seconds(&mut self) -> f64 {
        let Some(file) = &mut self.0 else {
            return 0.0;
        };
        let mut stat = String::new();
        file.rewind().unwrap();
        file.read_to_string(&mut stat).unwrap();
        let after_name = stat.rsplit(')').next().unwrap();
        let ticks: u32 = after_name
            .split_whitespace()
            .skip(11)
            .take(2)
            .map(|field| field.parse::<u32>().unwrap())
            .sum();
        f64::from(ticks) / 100.0
    }
}
