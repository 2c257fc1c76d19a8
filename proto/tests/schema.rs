//! Compares the compiled schemas with `schema.txt`, a transcription of the protocol's tables, and the method
//! paths with both. It owns names, numbers and types; bytes are in `wire.rs`.
#![expect(clippy::expect_used, reason = "a test fails by panicking")]

use std::collections::BTreeSet;

use lampkeeper_proto::{FILE_DESCRIPTOR_SET, calls, methods};
use prost::Message as _;
use prost_types::field_descriptor_proto::{Label, Type};
use prost_types::{
    DescriptorProto, EnumDescriptorProto, FieldDescriptorProto, FileDescriptorProto, FileDescriptorSet,
};

/// The expected facts, in the form that the file's head describes.
const EXPECTED: &str = include_str!("schema.txt");

/// Packages whose services nodes and clients call on each other. All others are the chain's.
const PEER_PACKAGES: &[&str] = &["supernode", "cascade", "grpc.health.v1", "lampkeeper.v1"];

#[test]
fn schemas_say_what_the_protocol_says() {
    let expected: Vec<String> = EXPECTED
        .lines()
        .filter(|line| !line.is_empty() && !line.starts_with('#'))
        .map(str::to_owned)
        .collect();
    let expected_set: BTreeSet<String> = expected.iter().cloned().collect();
    assert_eq!(expected.len(), expected_set.len(), "schema.txt repeats a line");

    let actual: BTreeSet<String> = our_files().iter().flat_map(facts_of_file).collect();

    let missing: Vec<&String> = expected_set.difference(&actual).collect();
    let surplus: Vec<&String> = actual.difference(&expected_set).collect();
    assert!(
        missing.is_empty() && surplus.is_empty(),
        "only in schema.txt: {missing:#?}\nonly in the schemas: {surplus:#?}"
    );
}

#[test]
fn every_peer_method_has_its_path() {
    let declared: BTreeSet<String> = our_files()
        .iter()
        .filter(|file| PEER_PACKAGES.contains(&file.package()))
        .flat_map(|file| paths_of_file(file).map(|(path, _)| path).collect::<Vec<_>>())
        .collect();
    let listed: BTreeSet<String> = methods::ALL.iter().map(|path| (*path).to_owned()).collect();

    assert_eq!(listed, declared);
    assert_eq!(listed.len(), methods::ALL.len(), "methods::ALL repeats a path");
}

#[test]
fn every_call_of_the_chain_has_its_path_and_messages() {
    // `Msg` services are for messages in transactions: nobody calls them.
    let is_called = |path: &String| !path.contains(".Msg/") && !path.starts_with("/lumera.lumeraid.");
    let declared: BTreeSet<(String, String)> = our_files()
        .iter()
        .filter(|file| !PEER_PACKAGES.contains(&file.package()))
        .flat_map(|file| paths_of_file(file).collect::<Vec<_>>())
        .filter(|(path, _)| is_called(path))
        .collect();
    let listed = calls::all();
    let count = listed.len();
    let listed: BTreeSet<(String, String)> = listed
        .into_iter()
        .map(|(path, request, response)| (path.to_owned(), format!("{request} -> {response}")))
        .collect();

    assert_eq!(listed, declared);
    assert_eq!(listed.len(), count, "calls::all repeats a path");
}

#[test]
fn every_path_constant_is_listed() {
    // The list is written by hand, and a constant that it lacks would escape the comparison with the schemas.
    let source = include_str!("../src/methods.rs");
    let constants = source.lines().filter(|line| line.starts_with("pub const") && line.contains(": &str ="));
    assert_eq!(constants.count(), methods::ALL.len());
}

#[test]
fn descriptor_set_is_complete_in_itself() {
    // Reflection serves files with what they import, in an order in which each import precedes its use.
    let mut seen = BTreeSet::new();
    for file in all_files() {
        for import in &file.dependency {
            assert!(seen.contains(import), "{} imports {import}, which does not precede it", file.name());
        }
        seen.insert(file.name().to_owned());
        assert!(file.source_code_info.is_none(), "{} carries its comments", file.name());
    }
}

#[test]
fn schemas_are_proto3_in_the_folder_of_their_package() {
    for file in our_files() {
        assert_eq!(file.syntax(), "proto3", "{}", file.name());
        let folder = file.name().rsplit_once('/').map_or("", |(folder, _)| folder);
        assert_eq!(folder.replace('/', "."), file.package(), "{}", file.name());
    }
}

fn all_files() -> Vec<FileDescriptorProto> {
    FileDescriptorSet::decode(FILE_DESCRIPTOR_SET).expect("the embedded descriptor set decodes").file
}

/// Without the well-known types, which the compiler brings along.
fn our_files() -> Vec<FileDescriptorProto> {
    let mut files = all_files();
    files.retain(|file| file.package() != "google.protobuf");
    files
}

fn facts_of_file(file: &FileDescriptorProto) -> Vec<String> {
    let mut facts = Vec::new();
    for message in &file.message_type {
        push_message_facts(file.package(), message, &mut facts);
    }
    for enumeration in &file.enum_type {
        push_enum_facts(file.package(), enumeration, &mut facts);
    }
    facts.extend(paths_of_file(file).map(|(path, signature)| format!("rpc {path} {signature}")));
    facts
}

/// The path and the signature of every method of a file.
fn paths_of_file(file: &FileDescriptorProto) -> impl Iterator<Item = (String, String)> {
    let stream = |is_stream: bool| if is_stream { "stream " } else { "" };
    file.service.iter().flat_map(move |service| {
        service.method.iter().map(move |method| {
            let path = format!("/{}.{}/{}", file.package(), service.name(), method.name());
            let signature = format!(
                "{}{} -> {}{}",
                stream(method.client_streaming()),
                method.input_type().trim_start_matches('.'),
                stream(method.server_streaming()),
                method.output_type().trim_start_matches('.'),
            );
            (path, signature)
        })
    })
}

fn push_message_facts(scope: &str, message: &DescriptorProto, facts: &mut Vec<String>) {
    let name = format!("{scope}.{}", message.name());
    if message.field.is_empty() {
        facts.push(format!("{name} empty"));
    }
    for field in &message.field {
        let oneof = field.oneof_index.map_or(String::new(), |index| {
            format!(" in {}", message.oneof_decl[usize::try_from(index).expect("an index")].name())
        });
        let (number, field_name) = (field.number(), field.name());
        facts.push(format!("{name} {number} {field_name} {}{oneof}", field_type(message, field)));
    }
    for nested in message.nested_type.iter().filter(|nested| !is_map_entry(nested)) {
        push_message_facts(&name, nested, facts);
    }
    for enumeration in &message.enum_type {
        push_enum_facts(&name, enumeration, facts);
    }
}

fn push_enum_facts(scope: &str, enumeration: &EnumDescriptorProto, facts: &mut Vec<String>) {
    for value in &enumeration.value {
        facts.push(format!("enum {scope}.{} {} {}", enumeration.name(), value.number(), value.name()));
    }
}

fn is_map_entry(message: &DescriptorProto) -> bool {
    message.options.as_ref().is_some_and(|options| options.map_entry())
}

/// A field's type in the notation of `schema.txt`.
fn field_type(parent: &DescriptorProto, field: &FieldDescriptorProto) -> String {
    let single = single_type(field);
    if field.label() != Label::Repeated {
        return single;
    }
    // A map is a repeated field of a nested message that the compiler makes up.
    let entry = parent
        .nested_type
        .iter()
        .find(|nested| is_map_entry(nested) && single.ends_with(&format!(".{}", nested.name())));
    match entry {
        Some(entry) => format!("map<{},{}>", single_type(&entry.field[0]), single_type(&entry.field[1])),
        None => format!("rep {single}"),
    }
}

fn single_type(field: &FieldDescriptorProto) -> String {
    let scalar = match field.r#type() {
        Type::Message | Type::Enum => return field.type_name().trim_start_matches('.').to_owned(),
        Type::Bool => "bool",
        Type::Bytes => "bytes",
        Type::Double => "double",
        Type::Int32 => "int32",
        Type::Int64 => "int64",
        Type::String => "string",
        Type::Uint32 => "uint32",
        Type::Uint64 => "uint64",
        other => panic!("{} has the type {other:?}, which no wire uses", field.name()),
    };
    scalar.to_owned()
}
