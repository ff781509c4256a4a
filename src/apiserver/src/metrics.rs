//! Figures for Prometheus, with Kubernetes' names.
//!
//! In: one call for each request, and sources that others register. Out: the text of `/metrics`.
//! Labels come from the table of kinds and from closed sets, so their number is bounded.

pub mod told;

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::atomic::AtomicI64;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use kedge_api::kinds::Kind;

/// Something that adds lines to `/metrics`.
pub trait MetricsSource: Send + Sync {
    /// Appends lines in the Prometheus text format, each family with its `# TYPE`.
    fn render(&self, out: &mut String);
}

impl<F: Fn(&mut String) + Send + Sync> MetricsSource for F {
    fn render(&self, out: &mut String) {
        self(out);
    }
}

/// What a request was, for its series.
#[derive(Debug, Clone, Default)]
pub struct Series {
    /// The verb in capitals, as Kubernetes has it (`LIST`, `WATCH`, `APPLY`...).
    pub verb: &'static str,
    /// The kind; none for other paths.
    pub kind: Option<Arc<Kind>>,
    /// Subresource; empty if none.
    pub subresource: &'static str,
    /// `cluster`, `namespace` or `resource`.
    pub scope: &'static str,
    /// `All` for a trial, `invalid` for what is none; else empty.
    pub dry_run: &'static str,
}

impl Series {
    /// Group, version and resource; empty for other paths.
    fn resource(&self) -> (&str, &str, &str) {
        self.kind.as_ref().map_or(("", "", ""), |k| (&k.group, &k.version, &k.plural))
    }
}

impl PartialEq for Series {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Series {}

impl PartialOrd for Series {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Series {
    fn cmp(&self, other: &Self) -> Ordering {
        let key = |s: &Series| -> [&'static str; 4] { [s.verb, s.subresource, s.scope, s.dry_run] };
        key(self).cmp(&key(other)).then_with(|| self.resource().cmp(&other.resource()))
    }
}

/// Upper bounds of the latency buckets in seconds.
const BUCKETS: [f64; 12] = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0, 30.0];

/// No more series than this; the rest is counted together. All kinds with all their verbs and
/// usual codes are about a thousand, of which a device sees a fraction.
const MAX_SERIES: usize = 2048;

#[derive(Default)]
struct Latency {
    buckets: [u64; BUCKETS.len()],
    count: u64,
    sum: f64,
}

/// A watch or stream under way; ends when it is dropped.
pub struct Longrunning {
    metrics: Arc<Metrics>,
    series: Series,
}

impl std::fmt::Debug for Longrunning {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Longrunning")
    }
}

impl Drop for Longrunning {
    fn drop(&mut self) {
        let mut all = self.metrics.longrunning.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = all.get_mut(&self.series) {
            *count -= 1;
            // What nobody asks any more is not told, so the series are no more than those under way.
            if *count == 0 {
                all.remove(&self.series);
            }
        }
    }
}

/// The figures of the API server.
#[derive(Default)]
pub struct Metrics {
    requests: Mutex<Requests>,
    /// Requests that read and are under way.
    pub inflight_reads: AtomicI64,
    /// Requests that write and are under way.
    pub inflight_writes: AtomicI64,
    /// Watches and streams under way.
    longrunning: Mutex<BTreeMap<Series, u64>>,
    /// What watches were told.
    pub told: told::Kinds,
    /// Connections that are open.
    pub connections: AtomicI64,
    /// Requests turned away because there were too many.
    pub dropped: AtomicI64,
    /// Handlers that panicked.
    pub panics: AtomicI64,
    sources: Mutex<Vec<Arc<dyn MetricsSource>>>,
}

#[derive(Default)]
struct Requests {
    series: BTreeMap<Series, Figures>,
    /// Answer codes of all series together: what is bounded.
    codes: usize,
    beyond: u64,
}

/// What is known of one series.
#[derive(Default)]
struct Figures {
    /// Requests by answer code, a few.
    totals: Vec<(u16, u64)>,
    /// None before the first that was timed.
    latency: Option<Box<Latency>>,
}

impl std::fmt::Debug for Metrics {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Metrics")
    }
}

impl Metrics {
    /// Adds a source.
    pub fn add(&self, source: Arc<dyn MetricsSource>) {
        self.sources.lock().unwrap_or_else(PoisonError::into_inner).push(source);
    }

    /// A watch or stream begins.
    pub fn begin(self: &Arc<Self>, series: Series) -> Longrunning {
        // Its figure has no such label.
        let series = Series { dry_run: "", ..series };
        *self.longrunning.lock().unwrap_or_else(PoisonError::into_inner).entry(series.clone()).or_default() += 1;
        Longrunning { metrics: self.clone(), series }
    }

    /// Counts a request. Long-running ones have no latency.
    pub fn record(&self, series: Series, code: u16, took: Option<Duration>) {
        let mut requests = self.requests.lock().unwrap_or_else(PoisonError::into_inner);
        let Requests { series: all, codes, beyond } = &mut *requests;
        let is_full = *codes >= MAX_SERIES;
        let figures = if is_full { all.get_mut(&series) } else { Some(all.entry(series).or_default()) };
        let known = figures.as_ref().is_some_and(|figures| figures.totals.iter().any(|(known, _)| *known == code));
        let Some(figures) = figures.filter(|_| known || !is_full) else {
            *beyond += 1;
            return;
        };
        match figures.totals.iter_mut().find(|(known, _)| *known == code) {
            Some((_, count)) => *count += 1,
            None => {
                *codes += 1;
                figures.totals.push((code, 1));
                figures.totals.sort_unstable();
            }
        }
        if let Some(took) = took {
            let latency = figures.latency.get_or_insert_default();
            let seconds = took.as_secs_f64();
            if let Some(at) = BUCKETS.iter().position(|bound| seconds <= *bound) {
                latency.buckets[at] += 1;
            }
            latency.count += 1;
            latency.sum += seconds;
        }
    }

    /// The whole text.
    pub fn render(&self) -> String {
        let mut out = String::with_capacity(16 * 1024);
        {
            let requests = self.requests.lock().unwrap_or_else(PoisonError::into_inner);
            family(&mut out, "apiserver_request_total", "counter", "Requests by verb, resource and answer code.");
            for (series, figures) in &requests.series {
                let labels = labels_of_request(series);
                for (code, count) in &figures.totals {
                    let _ = writeln!(out, "apiserver_request_total{{code=\"{code}\",{labels}}} {count}");
                }
            }
            if requests.beyond > 0 {
                let _ = writeln!(out, "apiserver_request_total{{code=\"\",verb=\"OTHER\"}} {}", requests.beyond);
            }
            family(
                &mut out,
                "apiserver_request_duration_seconds",
                "histogram",
                "Time from the request's head to its answer.",
            );
            for (series, figures) in &requests.series {
                let Some(latency) = &figures.latency else { continue };
                let labels = labels_of_request(series);
                let mut below = 0;
                for (bound, count) in BUCKETS.iter().zip(latency.buckets) {
                    below += count;
                    let _ =
                        writeln!(out, "apiserver_request_duration_seconds_bucket{{{labels},le=\"{bound}\"}} {below}");
                }
                let _ = writeln!(
                    out,
                    "apiserver_request_duration_seconds_bucket{{{labels},le=\"+Inf\"}} {}",
                    latency.count
                );
                let _ = writeln!(out, "apiserver_request_duration_seconds_sum{{{labels}}} {}", latency.sum);
                let _ = writeln!(out, "apiserver_request_duration_seconds_count{{{labels}}} {}", latency.count);
            }
        }
        let get = |value: &AtomicI64| value.load(std::sync::atomic::Ordering::Relaxed);
        family(&mut out, "apiserver_current_inflight_requests", "gauge", "Requests under way.");
        let _ = writeln!(
            out,
            "apiserver_current_inflight_requests{{request_kind=\"mutating\"}} {}",
            get(&self.inflight_writes)
        );
        let _ = writeln!(
            out,
            "apiserver_current_inflight_requests{{request_kind=\"readOnly\"}} {}",
            get(&self.inflight_reads)
        );
        let name = "apiserver_longrunning_requests";
        family(&mut out, name, "gauge", "Watches and streams under way.");
        for (series, count) in self.longrunning.lock().unwrap_or_else(PoisonError::into_inner).iter() {
            let _ = writeln!(out, "{name}{{{}}} {count}", labels(series));
        }
        self.told.render(&mut out);
        for (name, kind, help, value) in [
            ("apiserver_open_connections", "gauge", "Connections that are open.", &self.connections),
            (
                "apiserver_dropped_requests_total",
                "counter",
                "Requests turned away because there were too many.",
                &self.dropped,
            ),
            ("apiserver_panics_total", "counter", "Handlers that panicked.", &self.panics),
        ] {
            family(&mut out, name, kind, help);
            let _ = writeln!(out, "{name} {}", get(value));
        }
        let sources = self.sources.lock().unwrap_or_else(PoisonError::into_inner).clone();
        for source in sources {
            source.render(&mut out);
        }
        out
    }
}

/// Appends the two lines that open a family.
pub fn family(out: &mut String, name: &str, kind: &str, help: &str) {
    let _ = writeln!(out, "# HELP {name} {help}\n# TYPE {name} {kind}");
}

fn labels(series: &Series) -> String {
    let (group, version, resource) = series.resource();
    format!(
        "component=\"apiserver\",group=\"{group}\",resource=\"{resource}\",scope=\"{}\",subresource=\"{}\",verb=\"{}\",version=\"{version}\"",
        series.scope, series.subresource, series.verb
    )
}

/// The same, and whether it was a trial.
fn labels_of_request(series: &Series) -> String {
    format!("{},dry_run=\"{}\"", labels(series), series.dry_run)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_counted_by_series() {
        let metrics = Arc::new(Metrics::default());
        let kind = kedge_api::kinds::Kinds::builtin().by_word("pods").cloned();
        let series = Series { verb: "LIST", kind, subresource: "", scope: "cluster", dry_run: "" };
        metrics.record(series.clone(), 200, Some(Duration::from_millis(2)));
        metrics.record(series.clone(), 200, Some(Duration::from_millis(20)));
        let running = metrics.begin(series);
        let line =
            "apiserver_longrunning_requests{component=\"apiserver\",group=\"\",resource=\"pods\",scope=\"cluster\",";
        assert!(metrics.render().contains(line));
        drop(running);
        assert!(!metrics.render().contains(line));
        metrics.add(Arc::new(|out: &mut String| out.push_str("mine 1\n")));
        let text = metrics.render();
        assert!(text.contains("apiserver_request_total{code=\"200\",component=\"apiserver\",group=\"\",resource=\"pods\",scope=\"cluster\",subresource=\"\",verb=\"LIST\",version=\"v1\",dry_run=\"\"} 2"), "{text}");
        assert!(
            text.contains("le=\"0.0025\"} 1") && text.contains("le=\"+Inf\"} 2") && text.ends_with("mine 1\n"),
            "{text}"
        );
    }
}
