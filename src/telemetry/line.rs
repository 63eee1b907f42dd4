//! A line of the log as JSON. There is one for each admission, and what it costs is part of what an admission costs.

use std::fmt;

use tracing::field::{Field, Visit};
use tracing::{Event, Subscriber};
use tracing_subscriber::fmt::format::{Format, Json, Writer};
use tracing_subscriber::fmt::time::{FormatTime, SystemTime};
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::registry::LookupSpan;

use crate::json::write::append;

/// What events of the crate `log` are given for a target; their own is a field.
const OF_LOG: &str = "log";

/// What a line takes, mostly.
const ROOM: usize = 640;

/// Writes what the formatter in it writes, and has it do so where an event stands in a span.
pub(super) struct Line(pub(super) Format<Json>);

impl<S, N> FormatEvent<S, N> for Line
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        context: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let about = event.metadata();
        let in_span = event.parent().is_some() || context.lookup_current().is_some();
        if in_span || about.target() == OF_LOG {
            return self.0.format_event(context, writer, event);
        }
        let mut time = String::new();
        SystemTime.format_time(&mut Writer::new(&mut time))?;
        let mut members = Members {
            line: Vec::with_capacity(ROOM),
            failed: false,
        };
        members.add("timestamp", &time);
        members.add("level", about.level().as_str());
        event.record(&mut members);
        members.add("target", about.target());
        let Members { mut line, failed } = members;
        line.extend_from_slice(b"}\n");
        if failed {
            return Err(fmt::Error);
        }
        writer.write_str(str::from_utf8(&line).map_err(|_| fmt::Error)?)
    }
}

/// An object that is being written.
struct Members {
    line: Vec<u8>,
    failed: bool,
}

impl Members {
    fn add(&mut self, name: &str, value: &(impl serde::Serialize + ?Sized)) {
        let begin = if self.line.is_empty() { b'{' } else { b',' };
        self.line.push(begin);
        let name = append(&mut self.line, name);
        self.line.push(b':');
        let value = append(&mut self.line, value);
        self.failed |= name.is_err() || value.is_err();
    }
}

impl Visit for Members {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.add(field.name(), value);
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.add(field.name(), &value);
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.add(field.name(), &value);
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.add(field.name(), &value);
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        self.add(field.name(), &value);
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        struct Shown<'v>(&'v dyn fmt::Debug);
        impl serde::Serialize for Shown<'_> {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(&format_args!("{:?}", self.0))
            }
        }
        self.add(field.name(), &Shown(value));
    }
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::sync::{Arc, Mutex};

    use serde_json::Value;
    use tracing::{error, info, info_span, warn};
    use tracing_subscriber::fmt::MakeWriter;
    use tracing_subscriber::fmt::format::JsonFields;
    use tracing_subscriber::prelude::*;

    use super::*;

    #[derive(Clone, Default)]
    struct Lines(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Lines {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    impl<'w> MakeWriter<'w> for Lines {
        type Writer = Self;

        fn make_writer(&'w self) -> Self {
            self.clone()
        }
    }

    impl Lines {
        /// The lines, each without its time, which is looked at.
        fn without_time(&self) -> Vec<String> {
            let bytes = self.0.lock().unwrap();
            let lines = str::from_utf8(&bytes).unwrap().lines();
            let line = |line: &str| {
                let mut line: Value = serde_json::from_str(line).unwrap();
                let time = line.as_object_mut().unwrap().shift_remove("timestamp");
                let time = time.unwrap().as_str().unwrap().to_owned();
                assert!(time.starts_with("20") && time.ends_with('Z'), "{time}");
                line.to_string()
            };
            lines.map(line).collect()
        }
    }

    fn say_everything() {
        let none: Option<&str> = None;
        let problem = io::Error::other("a \"quoted\" problem");
        info!(
            a = 1_u64,
            b = -1_i64,
            c = true,
            d = 0.5,
            e = "x\n\"y\"",
            none,
            "said {}",
            1
        );
        warn!(odd = ?"é\u{1}", shown = %7, nan = f64::NAN, large = u128::MAX, r#type = "t");
        error!(error = &problem as &dyn std::error::Error, "failed");
        let span = info_span!("span", inner = 1).entered();
        info!(x = 1, "in a span");
        info!(parent: None, "in none");
        drop(span);
        info!(target: "other::place", "");
    }

    #[test]
    fn lines_are_as_the_library_writes_them() {
        let (ours, theirs) = (Lines::default(), Lines::default());
        let format = || tracing_subscriber::fmt::format().json().flatten_event(true);
        let layer = |lines: &Lines| {
            let layer = tracing_subscriber::fmt::layer().with_writer(lines.clone());
            layer.fmt_fields(JsonFields::new())
        };
        let layer = (layer(&ours).event_format(Line(format())), layer(&theirs));
        let subscriber = tracing_subscriber::registry().with(layer.0);
        tracing::subscriber::with_default(subscriber, say_everything);
        let subscriber = tracing_subscriber::registry().with(layer.1.event_format(format()));
        tracing::subscriber::with_default(subscriber, say_everything);
        assert_eq!(ours.without_time(), theirs.without_time());
        assert_eq!(ours.without_time().len(), 6);
    }
}
