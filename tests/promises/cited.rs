//! The documentation cites tests. Each of them exists, in the named file.

/// The pages, and the minimum number of tests that each cites.
const PAGES: [(&str, usize); 2] =
    [(include_str!("../../src/guide/promises.md"), 12), (include_str!("../../src/guide/protocol.md"), 15)];

#[test]
fn every_test_cited_by_the_guide_exists_in_the_named_file() {
    for (page, least) in PAGES {
        let spans: Vec<&str> = page.split('`').collect();
        // The spans of code have odd indices: a file, then `: `, then the name of a test.
        let cited = spans.windows(3).skip(1).step_by(2).filter(|span| span[1] == ": ");
        let mut count = 0;
        for span in cited {
            let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests").join(span[0]);
            let source = std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", span[0]));
            assert!(source.contains(&format!("\nfn {}() {{", span[2])), "{} has no {}", span[0], span[2]);
            count += 1;
        }
        assert!(count >= least, "only {count} tests are cited");
    }
}
