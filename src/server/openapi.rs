//! The API document, `OpenAPI` 3.1, made from the table of routes and the types of the answers.
//!
//! Rests on `routes` and on schemars, whose schemas are those of the types that are read and written. Invariant: a route, a
//! parameter or a member that the program has is in the document, and nothing else is.

use schemars::generate::SchemaSettings;
use serde_json::{Map, Value, json};

use super::problem::ProblemAnswer;
use super::routes::{Gives, Route, table};
use super::tokens::Scope;

/// The document.
pub fn document() -> Value {
    let settings = SchemaSettings::draft2020_12().for_serialize().with(|settings| {
        settings.definitions_path = "/components/schemas".into();
        settings.meta_schema = None;
    });
    let mut generator = settings.into_generator();
    let problem = generator.subschema_for::<ProblemAnswer>().to_value();
    let mut paths = Map::new();
    for route in table() {
        let answer = match &route.gives {
            Gives::Json(schema, of) => {
                let of = of(&mut generator).to_value();
                json!({"application/json": {"schema": {"allOf": [
                    {"type": "object", "properties": {"schema": {"const": schema}}, "required": ["schema"]},
                    of,
                ]}}})
            }
            Gives::Exact(media_type) | Gives::Plain(media_type) => json!({*media_type: {}}),
            Gives::Elsewhere => json!({}),
        };
        let body = route.body.map(|of| of(&mut generator).to_value());
        let operation = operation(&route, &answer, body, &problem);
        let path = paths.entry(route.path).or_insert_with(|| json!({}));
        if let Some(path) = path.as_object_mut() {
            path.insert(route.method.to_owned(), operation);
        }
    }
    let schemas = Value::Object(generator.take_definitions(true));
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "distill",
            "version": env!("CARGO_PKG_VERSION"),
            "description": "Snapshots of gated training datasets, and the store that they come from. Whatever is named by a \
                            hash can be checked by whoever gets it: an object id and a root id are BLAKE3-256 of the bytes.",
        },
        "paths": paths,
        "components": {
            "schemas": schemas,
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
        },
    })
}

fn operation(route: &Route, content: &Value, body: Option<Value>, problem: &Value) -> Value {
    let params: Vec<Value> = (route.params.iter())
        .map(|param| {
            json!({
                "name": param.name,
                "in": param.place,
                "required": param.place == "path",
                "description": param.describes,
                "schema": {"type": "string"},
            })
        })
        .collect();
    let mut responses = Map::new();
    match route.gives {
        Gives::Elsewhere => {
            let location = json!({"Location": {"schema": {"type": "string"}}});
            responses.insert("307".to_owned(), json!({"description": "Where it is", "headers": location}));
        }
        Gives::Exact(_) => {
            let text = json!({"schema": {"type": "string"}});
            let headers = json!({
                "ETag": text, "Repr-Digest": text, "Distill-BLAKE3": text, "Distill-Root": text,
                "Accept-Ranges": text, "Cache-Control": text,
            });
            let whole = json!({"description": "All of it", "headers": headers, "content": content});
            responses.insert("200".to_owned(), whole);
            responses.insert(
                "206".to_owned(),
                json!({"description": "The part that was asked for", "content": content}),
            );
            responses.insert("304".to_owned(), json!({"description": "The client has it"}));
            responses.insert(
                "412".to_owned(),
                json!({"description": "It is not the version that `If-Match` names"}),
            );
            responses.insert("416".to_owned(), json!({"description": "The part lies beyond the end"}));
        }
        _ => {
            let status = if route.method == "put" { "201" } else { "200" };
            responses.insert(status.to_owned(), json!({"description": "Done", "content": content}));
        }
    }
    let failed = json!({"description": "A failure", "content": {"application/json": {"schema": problem}}});
    responses.insert("default".to_owned(), failed);
    let mut operation = json!({
        "summary": route.summary,
        "parameters": params,
        "responses": responses,
    });
    if !route.details.is_empty() {
        operation["description"] = route.details.into();
    }
    if let Some(schema) = body {
        operation["requestBody"] =
            json!({"required": true, "content": {"application/json": {"schema": schema}}});
    }
    operation["security"] = match route.scope {
        Scope::None => json!([]),
        // A server without tokens for reading lets everybody read.
        Scope::Read => json!([{}, {"token": []}]),
        Scope::Write => json!([{"token": []}]),
    };
    operation
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reference_leads_somewhere_and_every_route_is_there() {
        let document = document();
        let mut todo = vec![&document];
        let mut references = 0;
        while let Some(value) = todo.pop() {
            match value {
                Value::Object(members) => {
                    if let Some(Value::String(to)) = members.get("$ref") {
                        let pointer = to.strip_prefix('#').expect("a local reference");
                        assert!(document.pointer(pointer).is_some(), "{to}");
                        references += 1;
                    }
                    todo.extend(members.values());
                }
                Value::Array(items) => todo.extend(items),
                _ => {}
            }
        }
        assert!(references > 20, "{references}");
        for route in table() {
            let operation = &document["paths"][route.path][route.method];
            assert_eq!(operation["summary"], route.summary);
            for name in route.path.split(['{', '}']).skip(1).step_by(2) {
                let described = route.params.iter().any(|param| param.name == name && param.place == "path");
                assert!(described, "{} says nothing of {name}", route.path);
            }
        }
    }
}
