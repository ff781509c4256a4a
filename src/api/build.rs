//! Makes the schema table. In: the Go-derived types of crate `k8s-openapi` and the tables in `facts/`.
//! Out: `schema.bin` (read in place) and `docs.bin` (deflated) in `OUT_DIR`.
//! Never reads anything that is not in this checkout or in a crate.

#[path = "build/facts.rs"]
mod facts;
#[allow(dead_code, missing_docs)]
#[path = "src/schema/layout.rs"]
mod layout;
#[path = "build/roots.rs"]
mod roots;
#[path = "build/table.rs"]
mod table;

use std::io::Write as _;
use std::path::Path;

fn main() {
    for path in ["build.rs", "build", "facts/fields.txt", "facts/wire.txt", "src/schema/layout.rs"] {
        println!("cargo::rerun-if-changed={path}");
    }
    let mut generator = k8s_openapi::schemars::generate::SchemaSettings::draft2020_12().into_generator();
    roots::all(&mut generator);
    let definitions = generator.take_definitions(false);

    let facts = facts::parse(&std::fs::read_to_string("facts/fields.txt").expect("facts/fields.txt"));
    let wire = facts::wire(&std::fs::read_to_string("facts/wire.txt").expect("facts/wire.txt"));
    let (table, docs) = table::build(&definitions, &facts, &wire);

    let out = std::env::var("OUT_DIR").expect("cargo sets OUT_DIR");
    std::fs::write(Path::new(&out).join("schema.bin"), table).expect("schema.bin");
    let mut deflated = flate2::write::DeflateEncoder::new(Vec::new(), flate2::Compression::best());
    deflated.write_all(&docs).expect("memory");
    std::fs::write(Path::new(&out).join("docs.bin"), deflated.finish().expect("memory")).expect("docs.bin");
}
