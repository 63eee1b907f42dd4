#!/bin/sh
# run.sh [TARGET...]: fuzzes each target, or all of them, one after the other. It ends with 1 on a crash or a hang.
#
#   SECONDS_EACH   how much time of a processor each target gets (default 60): on a busy machine it takes longer
#   FUZZ_FOLDER    where what is built and found goes (default: target/fuzz of the repository)
#
# cargo-fuzz would want a nightly compiler for its sanitizers. There is no unsafe code to watch here, so this is
# libFuzzer with the coverage that stable Rust's LLVM counts. Half of the time goes to inputs as they are wanted for
# finding paths, small ones first; the other half to inputs of up to 1 MiB, where what takes longer than its length
# allows shows as a hang.
set -eu

here=$(cd "$(dirname "$0")" && pwd)
folder=${FUZZ_FOLDER:-$here/../../target/fuzz}
seconds=${SECONDS_EACH:-60}
all='review reference layout archive certificates catalogue'
# Seconds that one input may take. The longest that is sound, a folder of 1 MiB that is unpacked six times, takes half a
# second; but libFuzzer looks at the clock on the wall, and a machine may be busy.
hang=20
largest=1048576

say() { printf '%s\n' "fuzz: $*" >&2; }

# What cargo-fuzz passes, but for the sanitizers.
coverage='-Cpasses=sancov-module
 -Cllvm-args=-sanitizer-coverage-level=4
 -Cllvm-args=-sanitizer-coverage-inline-8bit-counters
 -Cllvm-args=-sanitizer-coverage-pc-table
 -Cllvm-args=-sanitizer-coverage-trace-compares
 --cfg fuzzing'
host=$(rustc -vV | sed -n 's/^host: //p')
mkdir -p "$folder"
folder=$(cd "$folder" && pwd)
# With a target named, the flags are not those of build scripts.
(cd "$here" && RUSTFLAGS=$(printf '%s' "$coverage" | tr '\n' ' ') CARGO_TARGET_DIR=$folder \
    cargo build --locked --release --target "$host") >&2

# Sets `cpu` to the seconds of a processor that all has taken so far.
look_at_the_clock() {
    times >"$folder/$target.times"
    cpu=$(awk 'NR == 2 { split($1 "m" $2, part, "[ms]+"); print int(60 * (part[1] + part[3]) + part[2] + part[4]) }' \
        "$folder/$target.times")
}

# What is thought to hang took too long by the clock on the wall. By itself it has as long of a processor, or waits for
# something that does not come.
hangs() {
    (ulimit -t "$hang" && exec "$binary" -timeout=$((30 * hang)) "$1") >>"$log" 2>&1 || return 0
    say "$target: $1 was slow because the machine was busy or stopped, and does not hang"
    rm "$1"
    return 1
}

# Runs for so many seconds, flags... It fails on a crash or a hang.
run() {
    left=$1
    shift
    "$binary" "$folder/corpus/$target" "$here/corpus/$target" -artifact_prefix="$found/" -max_total_time="$left" \
        -timeout="$hang" -rss_limit_mb=4096 -print_final_stats=1 "$@" >>"$log" 2>&1 && return 0
    artifact=$(sed -n 's/.*Test unit written to //p' "$log" | tail -n 1)
    case $artifact in
    */timeout-*) ! hangs "$artifact" ;;
    *) false ;;
    esac
}

# target, name of the phase, seconds of a processor, flags...
phase() {
    target=$1 name=$2 time=$3
    shift 3
    binary=$folder/$host/release/$target
    log=$folder/$target-$name.log
    found=$folder/found/$target
    mkdir -p "$found" "$folder/corpus/$target"
    dictionary=$here/dictionaries/$target.dict
    [ -e "$dictionary" ] && set -- "$@" "-dict=$dictionary"
    : >"$log"
    verdict='no crash'
    begin=$(date +%s)
    look_at_the_clock
    end=$((cpu + time))
    while [ "$cpu" -lt "$end" ]; do
        if ! run $((end - cpu)) "$@"; then
            verdict="CRASH, see $log and $found"
            failed=1
            look_at_the_clock
            break
        fi
        look_at_the_clock
    done
    executions=$(awk '/^stat::number_of_executed_units:/ { sum += $2 } END { print sum }' "$log")
    slowest=$(awk '/^stat::slowest_unit_time_sec:/ && $2 > most { most = $2 } END { print most + 0 }' "$log")
    last=$(grep -E '^#[0-9]+' "$log" | tail -n 1)
    edges=$(printf '%s\n' "$last" | sed -n 's/.* cov: \([0-9]*\).*/\1/p')
    features=$(printf '%s\n' "$last" | sed -n 's/.* ft: \([0-9]*\).*/\1/p')
    printf '%-13s %-6s %5s s  %5s CPU s  %9s executions  %6s edges  %6s features  slowest %s s  %s\n' "$target" "$name" \
        "$(($(date +%s) - begin))" "$((time - end + cpu))" "${executions:-?}" "${edges:-?}" "${features:-?}" "$slowest" \
        "$verdict"
}

failed=0
for target in ${*:-$all}; do
    phase "$target" paths $(((seconds + 1) / 2)) -max_len=16384
    phase "$target" large $(((seconds + 1) / 2)) -max_len="$largest" -len_control=0
done
exit "$failed"
