//! A process without file descriptors left. The limit is the process's, hence a process of its own.

use std::process::Stdio;

use tokio::{net::TcpStream, process::Command};

use crate::fixture::{Running, generous, patiently};

const LIMIT: usize = 40;

#[cfg(unix)]
#[tokio::test]
async fn running_out_of_file_descriptors_is_survived() {
    let child = Command::new("sh")
        .arg("-c")
        .arg(format!(
            "ulimit -n {LIMIT} && exec \"$0\" --exact descriptors::child --ignored --nocapture"
        ))
        .arg(std::env::current_exe().unwrap())
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
    let server = Running::start(generous()).await;

    // Each connection takes two descriptors here: the client's and, once it is accepted, the server's.
    let mut crowd = Vec::new();
    while let Ok(stream) = TcpStream::connect(server.address).await {
        crowd.push(stream);
        assert!(crowd.len() <= LIMIT, "the limit does not hold");
    }
    // One more for the accept that fails; long enough for it to fail some times.
    crowd.pop();
    let last = TcpStream::connect(server.address).await.unwrap();
    let before = processor_time();
    tokio::time::sleep(std::time::Duration::from_secs(2)).await;
    let spent = processor_time() - before;
    assert!(spent < 1.0, "a busy loop: {spent} s of processor time");

    drop(crowd);
    drop(last);
    let (status, _, _) = patiently(server.client().get(&server.url("/")))
        .await
        .unwrap();
    assert_eq!(status, 200);
}

/// Seconds that this process has computed (`proc_pid_stat(5)`, fields 14 and 15, in hundredths of a second); 0 where
/// there is no such file.
fn processor_time() -> f64 {
    let Ok(stat) = std::fs::read_to_string("/proc/self/stat") else {
        return 0.0;
    };
    let after_name = stat.rsplit(')').next().unwrap();
    let ticks: u32 = after_name
        .split_whitespace()
        .skip(11)
        .take(2)
        .map(|field| field.parse::<u32>().unwrap())
        .sum();
    f64::from(ticks) / 100.0
}
