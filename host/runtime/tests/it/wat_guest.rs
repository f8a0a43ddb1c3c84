//! Providers written as WebAssembly text, for what no compiler makes: several memories, growing tables, odd descriptions.

/// What the guest says of itself; where each text lies in memory.
struct Description<'a> {
    name: &'a [u8],
    schema: &'a [u8],
}

const FINE: Description<'static> = Description {
    name: b"wat",
    schema: b"{}",
};

/// A provider that on `read` grows `memories` further memories by `pages` each and then answers with nothing.
pub fn growing_memories(memories: usize, pages: u32) -> Vec<u8> {
    let declared: String = (0..memories)
        .map(|i| format!("(memory $m{i} 1)\n"))
        .collect();
    let grow: String = (0..memories)
        .map(|i| format!("(if (i32.eq (memory.grow $m{i} (i32.const {pages})) (i32.const -1)) (then unreachable))\n"))
        .collect();
    component(&FINE, &declared, &grow)
}

/// A provider that on `read` grows a table to this many elements.
pub fn growing_table(elements: u32) -> Vec<u8> {
    let grow = format!(
        "(if (i32.eq (table.grow $t (ref.null func) (i32.const {elements})) (i32.const -1)) (then unreachable))"
    );
    component(&FINE, "(table $t 1 funcref)", &grow)
}

/// A provider that describes itself with these bytes.
pub fn described(name: &[u8], schema: &str) -> Vec<u8> {
    component(
        &Description {
            name,
            schema: schema.as_bytes(),
        },
        "",
        "",
    )
}

fn component(description: &Description<'_>, declared: &str, on_read: &str) -> Vec<u8> {
    let module = module(description, declared, on_read);
    wat::parse_str(include_str!("provider.wat").replace(";; MODULE", &module)).unwrap()
}

/// The module: `describe` answers with a record at 1024 whose texts lie behind it; `get-batch` answers with no outcome.
fn module(description: &Description<'_>, declared: &str, on_read: &str) -> String {
    const TEXTS: usize = 2048;
    let mut texts = Vec::new();
    let mut place = |text: &[u8]| {
        let at = TEXTS + texts.len();
        texts.extend_from_slice(text);
        [at as u32, text.len() as u32]
    };
    let name = place(description.name);
    let version = place(b"1");
    let key = place(b"wat");
    let schema = place(description.schema);
    let summary = place(b"");
    let serves = [1024 + 128, 1];
    let fields: [[u32; 2]; 5] = [name, version, serves, schema, [0, 0]];
    let words: Vec<u32> = fields
        .concat()
        .into_iter()
        .chain([1, summary[0], summary[1], 0, 0])
        .collect();
    format!(
        r#"(core module $main
            (memory (export "memory") 1)
            {declared}
            (data (i32.const 1024) "{record}")
            (data (i32.const 1152) "{served}")
            (data (i32.const {TEXTS}) "{texts}")
            (global $top (mut i32) (i32.const 8192))
            (func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32)
                (global.set $top (i32.and (i32.add (global.get $top) (i32.const 7)) (i32.const -8)))
                (global.get $top)
                (global.set $top (i32.add (global.get $top) (local.get 3))))
            (func (export "postern:plugin/describe@0.1.0#describe") (result i32) (i32.const 1024))
            (func (export "postern:plugin/check@0.1.0#examine") (param i32 i32 i32 i32 i32 i32) (result i32) unreachable)
            (func (export "postern:plugin/check@0.1.0#probe")
                (param i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32) (result i32) unreachable)
            (func (export "postern:plugin/read@0.1.0#get-batch")
                (param i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32) (result i32)
                {on_read}
                (i32.const 512)))"#,
        record = escaped(&bytes(&words)),
        served = escaped(&bytes(&key)),
        texts = escaped(&texts),
    )
}

fn bytes(words: &[u32]) -> Vec<u8> {
    words.iter().flat_map(|w| w.to_le_bytes()).collect()
}

fn escaped(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("\\{b:02x}")).collect()
}
