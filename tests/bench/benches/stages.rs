//! The steps of an admission in this process, by the clock: each as far as to it, so that differences are its own cost.

use clap::ValueEnum as _;
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use keyporter_bench::admission::{Step, Steps};
use keyporter_bench::folder::Folder;
use keyporter_bench::reviews::Size;
use keyporter_bench::secrets;

fn steps(criterion: &mut Criterion) {
    let folder = Folder::new().expect("a folder");
    secrets::write(folder.path(), 5, 5).expect("files");
    let steps = Steps::with_secrets(folder.path());
    for size in [Size::Small, Size::Medium, Size::Large] {
        let body = size.body(1);
        let mut group = criterion.benchmark_group(size.as_str());
        group.throughput(Throughput::Bytes(body.len() as u64));
        for step in Step::value_variants() {
            group.bench_function(format!("as far as to {step:?}"), |bencher| {
                bencher.iter(|| steps.take(*step, &body));
            });
        }
    }
}

criterion_group!(benches, steps);
criterion_main!(benches);
