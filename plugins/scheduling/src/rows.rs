//! The rows of `rows.txt`, natively. The daemon's tests run the same ones through Wasm.

use crate::sample::{Node, PodSketch, filter, node, nodes, pod, score};

#[test]
fn the_rows_hold() {
    for line in include_str!("rows.txt").lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
        let [rule, hosts, asks, expected] = line.split('|').map(str::trim).collect::<Vec<_>>()[..] else {
            panic!("not four parts: {line}");
        };
        let hosts = nodes(&hosts.split(';').map(read_node).collect::<Vec<_>>());
        let asks = asks.split_whitespace().fold(pod(), read_pod);
        if expected.starts_with(|c: char| c.is_ascii_digit()) {
            let expected: Vec<u8> = expected.split(' ').map(|score| score.parse().unwrap()).collect();
            assert_eq!(score(rule, &hosts, &asks), expected, "{line}");
        } else {
            let said = filter(rule, &hosts, &asks).join("; ").replace(" (for good)", " !");
            assert_eq!(said, expected, "{line}");
        }
    }
}

fn read_node(text: &str) -> Node {
    let mut words = text.split_whitespace();
    let first = node(words.next().unwrap());
    words.fold(first, |node, word| match word.split_once(':') {
        None if word == "cordoned" => node.unschedulable(),
        None => {
            let (name, amount) = amount(word);
            node.has(name, amount)
        }
        Some(("used", rest)) => {
            let (name, amount) = amount(rest);
            node.used(name, amount)
        }
        Some(("weighs", rest)) => {
            let (cpu, memory) = weights(rest);
            node.weighs(cpu, memory)
        }
        Some(("label", rest)) => node.label(rest),
        Some(("taint", rest)) => node.taint(rest),
        Some(("port", rest)) => node.ports(rest),
        Some(("image", rest)) => {
            let (name, size) = rest.rsplit_once('=').unwrap();
            node.image(name, size.parse().unwrap())
        }
        Some(_) => panic!("{word}"),
    })
}

fn read_pod(pod: PodSketch, word: &str) -> PodSketch {
    match word.split_once(':') {
        Some(("select", rest)) => pod.selects(rest),
        Some(("require", rest)) => pod.requires(&rest.replace('_', " ")),
        Some(("tolerate", "*")) => pod.tolerates("exists"),
        Some(("tolerate", rest)) if rest.contains(['=', '<', '>']) => pod.tolerates(rest),
        Some(("tolerate", rest)) => pod.tolerates(&format!("{rest} exists")),
        Some(("port", rest)) => pod.ports(rest),
        Some(("image", rest)) => pod.images(&[rest]),
        Some(("weighs", rest)) => {
            let (cpu, memory) = weights(rest);
            pod.weighs(cpu, memory)
        }
        _ => {
            let (name, amount) = amount(word);
            pod.asks(name, amount)
        }
    }
}

fn amount(word: &str) -> (&str, i64) {
    let (name, amount) = word.split_once('=').unwrap();
    (name, amount.parse().unwrap())
}

fn weights(word: &str) -> (i64, i64) {
    let (cpu, memory) = word.split_once(',').unwrap();
    (cpu.parse().unwrap(), memory.parse().unwrap())
}
