//! Makes the schema table. In: the Go-derived types of crate `k8s-openapi` and the tables in `facts/`.
//! Out: `schema.bin` (read in place) and `docs.bin` (deflated) in `OUT_DIR`.
//! Never reads anything that is not in this checkout or in a crate.

#[path = "build/facts.rs"]
mod facts;
#[allow(dead_code, missing_docs)]
#[path = "src/schema/layout.rs"]
mod layout;
#[path = "build/removed.rs"]
mod removed;
#[path = "build/roots.rs"]
mod roots;
#[path = "build/table.rs"]
mod table;

use std::io::Write as _;
use std::path::Path;

fn main() {
    for path in ["build.rs", "build", "facts/fields.txt", "facts/wire.txt", "facts/removed.txt", "src/schema/layout.rs"]
    {
        println!("cargo::rerun-if-changed={path}");
    }
    let mut generator = k8s_openapi::schemars::generate::SchemaSettings::draft2020_12().into_generator();
    roots::all(&mut generator);
    let mut definitions = generator.take_definitions(false);

    let read = |path: &str| std::fs::read_to_string(path).expect(path);
    let mut facts = facts::parse(&read("facts/fields.txt"));
    let mut wire = facts::wire(&read("facts/wire.txt"));
    let old = removed::add(&read("facts/removed.txt"), &mut definitions, &mut facts, &mut wire);
    let (table, docs) = table::build(&definitions, &facts, &wire, &old);

    let out = std::env::var("OUT_DIR").expect("cargo sets OUT_DIR");
    std::fs::write(Path::new(&out).join("schema.bin"), table).expect("schema.bin");
    let mut deflated = flate2::write::DeflateEncoder::new(Vec::new(), flate2::Compression::best());
    deflated.write_all(&docs).expect("memory");
    std::fs::write(Path::new(&out).join("docs.bin"), deflated.finish().expect("memory")).expect("docs.bin");
}
