//! Metric families and their rendering in the Prometheus text format.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt::Write;

use prometheus::TextEncoder;
use prometheus::proto;

/// What a family's samples are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Only grows, except at a restart of the process.
    Counter,
    /// A value of the moment.
    Gauge,
    /// Cumulative buckets, a sum and a count.
    Histogram,
}

impl Kind {
    /// The word of the `# TYPE` line.
    pub fn name(self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::Gauge => "gauge",
            Self::Histogram => "histogram",
        }
    }

    fn proto(self) -> proto::MetricType {
        match self {
            Self::Counter => proto::MetricType::COUNTER,
            Self::Gauge => proto::MetricType::GAUGE,
            Self::Histogram => proto::MetricType::HISTOGRAM,
        }
    }
}

/// A metric as `docs/metrics.md` lists it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Family {
    /// Full name, with prefix, unit and `_total`.
    pub name: Cow<'static, str>,
    /// One sentence.
    pub help: Cow<'static, str>,
    /// Type.
    pub kind: Kind,
    /// Label names, in the order in which samples give their values.
    pub labels: &'static [&'static str],
}

impl Family {
    /// A family whose text is known at compile time.
    pub const fn new(
        name: &'static str,
        help: &'static str,
        kind: Kind,
        labels: &'static [&'static str],
    ) -> Self {
        Self {
            name: Cow::Borrowed(name),
            help: Cow::Borrowed(help),
            kind,
            labels,
        }
    }
}

/// Families as statics, and a function that gives them all, for whoever documents them.
macro_rules! families {
    (
        $(#[$doc:meta])* $vis:vis fn $all:ident;
        $($name:ident = $text:literal, $kind:ident, $labels:expr, $help:literal;)+
    ) => {
        $($vis static $name: $crate::telemetry::Family = $crate::telemetry::Family::new(
            $text, $help, $crate::telemetry::Kind::$kind, &$labels,
        );)+

        $(#[$doc])*
        $vis fn $all() -> Vec<$crate::telemetry::Family> {
            vec![$($name.clone()),+]
        }
    };
}
pub(crate) use families;

/// Something that has metrics besides the blocks of counters: ports' hardware statistics,
/// mempools, the build.
pub trait Source: Send + Sync {
    /// The families it may give samples of.
    fn families(&self) -> Vec<Family>;

    /// Adds its samples. Called on the control thread at each scrape.
    fn collect(&self, out: &mut Collection);
}

/// The samples of one scrape.
#[derive(Debug, Default)]
pub struct Collection {
    families: BTreeMap<Cow<'static, str>, (Family, Vec<proto::Metric>)>,
}

impl Collection {
    /// No samples.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a sample of a counter. `labels` has a value for each of the family's label names.
    pub fn counter(&mut self, family: &Family, labels: &[&str], value: f64) {
        debug_assert_eq!(family.kind, Kind::Counter);
        let mut counter = proto::Counter::default();
        counter.set_value(value);
        self.push(family, labels).set_counter(counter);
    }

    /// Adds a sample of a gauge. `labels` has a value for each of the family's label names.
    pub fn gauge(&mut self, family: &Family, labels: &[&str], value: f64) {
        debug_assert_eq!(family.kind, Kind::Gauge);
        let mut gauge = proto::Gauge::default();
        gauge.set_value(value);
        self.push(family, labels).set_gauge(gauge);
    }

    /// Adds a histogram: `buckets` are (upper bound, values up to it), `sum` is in the family's
    /// unit. `labels` has a value for each of the family's label names.
    pub fn histogram(
        &mut self,
        family: &Family,
        labels: &[&str],
        buckets: impl IntoIterator<Item = (f64, u64)>,
        count: u64,
        sum: f64,
    ) {
        debug_assert_eq!(family.kind, Kind::Histogram);
        let buckets = buckets.into_iter().map(|(bound, count)| {
            let mut bucket = proto::Bucket::default();
            bucket.set_upper_bound(bound);
            bucket.set_cumulative_count(count);
            bucket
        });
        let mut histogram = proto::Histogram::default();
        histogram.set_bucket(buckets.collect());
        histogram.set_sample_count(count);
        histogram.set_sample_sum(sum);
        self.push(family, labels).set_histogram(histogram);
    }

    fn push(&mut self, family: &Family, labels: &[&str]) -> &mut proto::Metric {
        debug_assert_eq!(family.labels.len(), labels.len(), "{}", family.name);
        let pairs = family.labels.iter().zip(labels).map(|(name, value)| {
            let mut pair = proto::LabelPair::default();
            pair.set_name((*name).to_owned());
            pair.set_value((*value).to_owned());
            pair
        });
        let metric = proto::Metric::from_label(pairs.collect());
        let (_, metrics) = self
            .families
            .entry(family.name.clone())
            .or_insert_with(|| (family.clone(), Vec::new()));
        metrics.push(metric);
        let last = metrics.len() - 1;
        &mut metrics[last]
    }

    /// The names of the families with samples, in order.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.families.keys().map(AsRef::as_ref)
    }

    /// The samples in the Prometheus text format, version 0.0.4, families in order of their name.
    pub fn into_text(self) -> String {
        let families: Vec<_> = self
            .families
            .into_values()
            .map(|(family, metrics)| {
                let mut proto = proto::MetricFamily::default();
                proto.set_name(family.name.into_owned());
                proto.set_help(family.help.into_owned());
                proto.set_field_type(family.kind.proto());
                proto.set_metric(metrics);
                proto
            })
            .collect();
        let mut text = String::new();
        // The encoder's one complaint is a family without a name or a sample; there is none.
        if let Err(error) = TextEncoder::new().encode_utf8(&families, &mut text) {
            debug_assert!(false, "{error}");
        }
        text
    }
}

/// The families as the table of `docs/metrics.md`, in order of their name.
pub fn markdown_table(families: &[Family]) -> String {
    let mut sorted: Vec<_> = families.iter().collect();
    sorted.sort_by(|a, b| a.name.cmp(&b.name));
    let mut table = String::from("| name | type | labels | meaning |\n|---|---|---|---|\n");
    for family in sorted {
        let labels: Vec<_> = family
            .labels
            .iter()
            .map(|label| format!("`{label}`"))
            .collect();
        // Writing to a string cannot fail.
        let _ = writeln!(
            table,
            "| `{}` | {} | {} | {} |",
            family.name,
            family.kind.name(),
            labels.join(", "),
            family.help
        );
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    const PACKETS: Family = Family::new(
        "sluice_test_packets_total",
        "Packets.",
        Kind::Counter,
        &["port", "side"],
    );

    #[test]
    fn renders_the_text_format() {
        let held = Family::new("sluice_held", "Held \\ kept.", Kind::Gauge, &[]);
        let time = Family::new("sluice_time_seconds", "Time.", Kind::Histogram, &[]);
        let mut out = Collection::new();
        out.counter(&PACKETS, &["a\"b\n", "client"], 7.0);
        out.counter(&PACKETS, &["c", "server"], 1e15);
        out.gauge(&held, &[], 0.5);
        out.histogram(&time, &[], [(0.001, 1), (0.002, 3)], 4, 0.25);
        assert_eq!(
            out.names().collect::<Vec<_>>(),
            [
                "sluice_held",
                "sluice_test_packets_total",
                "sluice_time_seconds"
            ]
        );
        assert_eq!(
            out.into_text(),
            r#"# HELP sluice_held Held \\ kept.
# TYPE sluice_held gauge
sluice_held 0.5
# HELP sluice_test_packets_total Packets.
# TYPE sluice_test_packets_total counter
sluice_test_packets_total{port="a\"b\n",side="client"} 7
sluice_test_packets_total{port="c",side="server"} 1000000000000000
# HELP sluice_time_seconds Time.
# TYPE sluice_time_seconds histogram
sluice_time_seconds_bucket{le="0.001"} 1
sluice_time_seconds_bucket{le="0.002"} 3
sluice_time_seconds_bucket{le="+Inf"} 4
sluice_time_seconds_sum 0.25
sluice_time_seconds_count 4
"#
        );
    }

    #[test]
    fn nothing_collected_is_an_empty_text() {
        assert_eq!(Collection::new().into_text(), "");
    }

    #[test]
    fn lists_families_for_the_docs() {
        assert_eq!(
            markdown_table(&[PACKETS]),
            "| name | type | labels | meaning |\n|---|---|---|---|\n\
             | `sluice_test_packets_total` | counter | `port`, `side` | Packets. |\n"
        );
    }
}
