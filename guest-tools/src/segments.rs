//! Merges data segments that lie close together.
//!
//! Go's linker writes as many as an engine takes, 100 000; the pre-initialiser needs room for its own.

use anyhow::{Result, bail};
use wasm_encoder::{ConstExpr, DataCountSection, DataSection, Module, RawSection};
use wasmparser::{Data, DataKind, Operator, Parser, Payload};

/// Zeros between two segments that are cheaper to write than the head of another segment, by far.
const GAP: usize = 256;

struct Segment {
    start: usize,
    bytes: Vec<u8>,
}

/// The same module with fewer segments, and the numbers before and after.
pub fn merge(module: &[u8]) -> Result<(Vec<u8>, usize, usize)> {
    let segments = read(module)?;
    let before = segments.len();
    let merged = join(segments)?;
    let mut out = Module::new();
    for payload in Parser::new(0).parse_all(module) {
        let payload = payload?;
        if let Payload::DataCountSection { .. } = &payload {
            out.section(&DataCountSection {
                count: u32::try_from(merged.len())?,
            });
        } else if let Payload::DataSection(_) = &payload {
            out.section(&data_section(&merged)?);
        } else if let Some((id, range)) = payload.as_section() {
            let range = usize::try_from(range.start)?..usize::try_from(range.end)?;
            out.section(&RawSection {
                id,
                data: &module[range],
            });
        }
    }
    Ok((out.finish(), before, merged.len()))
}

fn read(module: &[u8]) -> Result<Vec<Segment>> {
    let mut segments = Vec::new();
    for payload in Parser::new(0).parse_all(module) {
        if let Payload::DataSection(section) = payload? {
            for data in section {
                segments.push(active(&data?)?);
            }
        }
    }
    segments.sort_by_key(|segment| segment.start);
    Ok(segments)
}

fn active(data: &Data<'_>) -> Result<Segment> {
    let DataKind::Active {
        memory_index: 0,
        offset_expr,
    } = &data.kind
    else {
        bail!("a data segment is not written at start");
    };
    let Operator::I32Const { value } = offset_expr.get_operators_reader().read()? else {
        bail!("a data segment has a computed address");
    };
    Ok(Segment {
        // Addresses are unsigned, constants are not.
        start: usize::try_from(value.cast_unsigned())?,
        bytes: data.data.to_vec(),
    })
}

/// Takes segments in the order of their addresses.
fn join(segments: Vec<Segment>) -> Result<Vec<Segment>> {
    let mut merged: Vec<Segment> = Vec::new();
    for segment in segments {
        let Some(last) = merged.last_mut() else {
            merged.push(segment);
            continue;
        };
        let end = last.start + last.bytes.len();
        if segment.start < end {
            // Which of them wins depends on their order, which sorting has lost.
            bail!("two data segments overlap at {}", segment.start);
        }
        if segment.start - end <= GAP {
            last.bytes.resize(segment.start - last.start, 0);
            last.bytes.extend_from_slice(&segment.bytes);
        } else {
            merged.push(segment);
        }
    }
    Ok(merged)
}

fn data_section(segments: &[Segment]) -> Result<DataSection> {
    let mut section = DataSection::new();
    for segment in segments {
        let start = u32::try_from(segment.start)?.cast_signed();
        section.active(
            0,
            &ConstExpr::i32_const(start),
            segment.bytes.iter().copied(),
        );
    }
    Ok(section)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn data(module: &[u8]) -> Vec<(usize, Vec<u8>)> {
        read(module)
            .expect("should parse")
            .into_iter()
            .map(|s| (s.start, s.bytes))
            .collect()
    }

    #[test]
    fn merges_neighbours_and_keeps_what_is_far() {
        let module = wat::parse_str(
            r#"(module (memory 1) (data (i32.const 20) "c") (data (i32.const 8) "a") (data (i32.const 9) "b")
               (data (i32.const 30000) "z") (func (export "f")))"#,
        )
        .expect("should assemble");
        let (out, before, after) = merge(&module).expect("should merge");
        assert_eq!((before, after), (4, 2));
        assert_eq!(
            data(&out),
            vec![
                (8, b"ab\0\0\0\0\0\0\0\0\0\0c".to_vec()),
                (30000, b"z".to_vec())
            ]
        );
        wasmparser::Validator::new()
            .validate_all(&out)
            .expect("should stay valid");
    }

    #[test]
    fn refuses_segments_that_overlap() {
        let module = wat::parse_str(
            r#"(module (memory 1) (data (i32.const 0) "abc") (data (i32.const 1) "x"))"#,
        )
        .expect("should assemble");
        assert!(merge(&module).is_err());
    }

    #[test]
    fn keeps_addresses_above_two_gibibytes() {
        let module = wat::parse_str(r#"(module (memory 40000) (data (i32.const 0x90000000) "a"))"#)
            .expect("should assemble");
        let (out, _, _) = merge(&module).expect("should merge");
        assert_eq!(data(&out), vec![(0x9000_0000, b"a".to_vec())]);
    }
}
