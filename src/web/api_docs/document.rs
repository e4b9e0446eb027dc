//! The OpenAPI document as the page shows it.

use serde_json::Value;

/// The most values of an enumeration that are listed.
const MAX_VALUES: usize = 12;
/// What answers wrap their data in.
const ENVELOPE: &str = "Success_";

/// The OpenAPI document, read once.
#[derive(Debug)]
pub struct ApiDocument {
    /// Operations that belong together, in the order of their paths.
    pub groups: Vec<Group>,
    /// Named types of bodies and answers.
    pub types: Vec<Type>,
}

/// Operations with one tag.
#[derive(Debug)]
pub struct Group {
    /// The tag.
    pub name: String,
    /// Its operations.
    pub operations: Vec<Operation>,
}

/// One operation.
#[derive(Debug)]
pub struct Operation {
    /// Names it in the address of the page.
    pub anchor: String,
    /// In capitals.
    pub method: String,
    pub path: String,
    /// Whether the path begins at the root, not at the base of the API.
    pub is_at_root: bool,
    pub summary: String,
    pub needs_token: bool,
    pub parameters: Vec<Field>,
    pub body: Option<Body>,
    pub answers: Vec<Answer>,
}

/// What a request carries.
#[derive(Debug)]
pub struct Body {
    pub media: String,
    pub fields: Vec<Field>,
    /// A body that the operation accepts, as far as its schema says.
    pub example: Value,
}

/// A parameter, or a field of an object.
#[derive(Debug)]
pub struct Field {
    pub name: String,
    /// `path` or `query`; empty for a field.
    pub place: String,
    pub kind: String,
    /// The named type that the kind is or is made of.
    pub type_name: Option<String>,
    pub is_required: bool,
    pub description: String,
}

/// What an operation may answer.
#[derive(Debug)]
pub struct Answer {
    pub status: String,
    pub description: String,
    /// What `data` is; empty without a body.
    pub kind: String,
    pub type_name: Option<String>,
}

/// A named type.
#[derive(Debug)]
pub struct Type {
    pub name: String,
    pub description: String,
    /// The values of an enumeration.
    pub values: Vec<String>,
    pub fields: Vec<Field>,
}

impl ApiDocument {
    /// Reads a document; what it leaves out is empty on the page.
    pub fn read(document: &Value) -> Self {
        let schemas = Schemas(&document["components"]["schemas"]);
        let mut groups: Vec<Group> = Vec::new();
        for (path, item) in document["paths"].as_object().into_iter().flatten() {
            let is_at_root = item.get("servers").is_some();
            // Beside its operations a path has what they share.
            for (method, operation) in item.as_object().into_iter().flatten().filter(|(_, value)| value.is_object()) {
                let tag = text(&operation["tags"][0]);
                let read = Operation { is_at_root, ..schemas.operation(method, path, operation) };
                match groups.iter_mut().find(|group| group.name == tag) {
                    Some(group) => group.operations.push(read),
                    None => groups.push(Group { name: tag, operations: vec![read] }),
                }
            }
        }
        // Whoever comes to read the page looks for plugins first, for administration last.
        let order = ["plugins", "contents", "search", "ratings", "accounts", "services", "operation", "admin"];
        groups.sort_by_key(|group| order.iter().position(|name| *name == group.name).unwrap_or(order.len()));
        Self { groups, types: schemas.types() }
    }
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

struct Schemas<'a>(&'a Value);

impl<'a> Schemas<'a> {
    fn operation(&self, method: &str, path: &str, operation: &'a Value) -> Operation {
        let method = method.to_uppercase();
        let is_plain = |c: char| if c.is_ascii_alphanumeric() { c } else { '-' };
        let anchor: String = format!("{}{path}", method.to_lowercase()).chars().map(is_plain).collect();
        let parameters = operation["parameters"].as_array().into_iter().flatten().map(|parameter| Field {
            place: text(&parameter["in"]),
            is_required: parameter["required"] == true,
            description: text(&parameter["description"]),
            ..self.field(&text(&parameter["name"]), &parameter["schema"])
        });
        let body = operation["requestBody"]["content"].as_object().and_then(|content| content.iter().next());
        let body = body.map(|(media, content)| Body {
            media: media.clone(),
            fields: self.fields(&content["schema"]),
            example: self.example("", &content["schema"]),
        });
        let answers = operation["responses"].as_object().into_iter().flatten();
        Operation {
            anchor: anchor.replace("--", "-").trim_end_matches('-').to_owned(),
            method,
            path: path.to_owned(),
            is_at_root: false,
            summary: text(&operation["summary"]).replace('\n', " "),
            needs_token: operation["security"].as_array().is_some_and(|needed| !needed.is_empty()),
            parameters: parameters.collect(),
            body,
            answers: answers.map(|(status, answer)| self.answer(status, answer)).collect(),
        }
    }

    fn answer(&self, status: &str, answer: &Value) -> Answer {
        let content = answer["content"].as_object().and_then(|content| content.iter().next());
        let (kind, type_name) = match content {
            None => (String::new(), None),
            Some((media, content)) => match name_of(&content["schema"]) {
                Some(name) => {
                    let name = name.strip_prefix(ENVELOPE).unwrap_or(name);
                    (name.to_owned(), self.find(name).map(|_| name.to_owned()))
                }
                None => (media.clone(), None),
            },
        };
        Answer { status: status.to_owned(), description: text(&answer["description"]), kind, type_name }
    }

    fn types(&self) -> Vec<Type> {
        let named = self.0.as_object().into_iter().flatten().filter(|(name, _)| !name.starts_with(ENVELOPE));
        let read = |(name, schema): (&String, &'a Value)| Type {
            name: name.clone(),
            description: text(&schema["description"]),
            values: schema["enum"].as_array().into_iter().flatten().map(text).collect(),
            fields: self.fields(schema),
        };
        named.map(read).collect()
    }

    fn find(&self, name: &str) -> Option<&'a Value> {
        self.0.get(name)
    }

    /// The schema itself, where it only names another.
    fn resolved(&self, schema: &'a Value) -> &'a Value {
        name_of(schema).and_then(|name| self.find(name)).unwrap_or(schema)
    }

    fn fields(&self, schema: &'a Value) -> Vec<Field> {
        let schema = self.resolved(schema);
        let parts = schema["allOf"].as_array().into_iter().flatten().flat_map(|part| self.fields(part));
        let required = |name: &str| schema["required"].as_array().is_some_and(|names| names.iter().any(|n| n == name));
        let own = schema["properties"].as_object().into_iter().flatten();
        let own = own.map(|(name, field)| Field { is_required: required(name), ..self.field(name, field) });
        parts.chain(own).collect()
    }

    fn field(&self, name: &str, schema: &'a Value) -> Field {
        let (kind, type_name) = self.kind(schema);
        let description = text(&schema["description"]);
        Field { name: name.to_owned(), place: String::new(), kind, type_name, is_required: false, description }
    }

    /// What a value is, and the named type that this is about.
    fn kind(&self, schema: &'a Value) -> (String, Option<String>) {
        if let Some(name) = name_of(schema) {
            return (name.to_owned(), Some(name.to_owned()));
        }
        for choice in ["oneOf", "anyOf", "allOf"] {
            let kinds = schema[choice].as_array().into_iter().flatten().map(|one| self.kind(one));
            let kinds: Vec<(String, Option<String>)> = kinds.collect();
            if let Some(name) = kinds.iter().find_map(|(_, name)| name.clone()) {
                let text: Vec<String> = kinds.into_iter().map(|(text, _)| text).collect();
                return (text.join(" | "), Some(name));
            }
        }
        let kinds = match &schema["type"] {
            Value::Array(kinds) => kinds.iter().map(text).collect::<Vec<_>>().join(" | "),
            kind => text(kind),
        };
        if schema["items"].is_object() {
            let (item, name) = self.kind(&schema["items"]);
            return (format!("{item}[]"), name);
        }
        let values: Vec<String> = schema["enum"].as_array().into_iter().flatten().map(text).collect();
        let shown = match (values.is_empty() || values.len() > MAX_VALUES, schema["format"].as_str()) {
            (false, _) => values.join(" | "),
            (true, Some(format)) => format!("{kinds} ({format})"),
            (true, None) => kinds,
        };
        (if shown.is_empty() { "any".to_owned() } else { shown }, None)
    }

    /// A value that fits a schema: as its examples say, else of its type.
    fn example(&self, name: &str, schema: &'a Value) -> Value {
        if !schema["example"].is_null() {
            return schema["example"].clone();
        }
        let schema = self.resolved(schema);
        if schema["properties"].is_object() {
            return self.example_object(schema);
        }
        if let Some(first) = schema["enum"].as_array().and_then(|values| values.first()) {
            return first.clone();
        }
        if schema["items"].is_object() {
            return Value::Array(vec![self.example(name, &schema["items"])]);
        }
        let is = |kind: &str| {
            schema["type"] == kind || schema["type"].as_array().is_some_and(|kinds| kinds.iter().any(|k| k == kind))
        };
        if is("boolean") {
            return Value::from(true);
        }
        if is("integer") || is("number") {
            let least = schema["minimum"].as_i64().unwrap_or(1).max(1);
            return schema["default"].as_i64().unwrap_or(least).into();
        }
        // "`user` or `admin`": the first one.
        let described = schema["description"].as_str().and_then(|text| text.strip_prefix('`')?.split('`').next());
        Value::from(match (described, name) {
            (Some(value), _) => value,
            (None, "plugin_id" | "id") => "my_plugin",
            (None, "username") => "developer123",
            (None, name) if name.contains("password") => "secure_password",
            (None, name) => name,
        })
    }

    /// The fields that are required or have an example; all when none is.
    fn example_object(&self, schema: &'a Value) -> Value {
        let fields = || schema["properties"].as_object().into_iter().flatten();
        let required = |name: &str| schema["required"].as_array().is_some_and(|names| names.iter().any(|n| n == name));
        let told = |(name, field): &(&String, &Value)| required(name) || !field["example"].is_null();
        let is_any_told = fields().any(|field| told(&field));
        let shown = fields().filter(|field| !is_any_told || told(field));
        Value::Object(shown.map(|(name, field)| (name.clone(), self.example(name, field))).collect())
    }
}

fn name_of(schema: &Value) -> Option<&str> {
    schema["$ref"].as_str()?.rsplit('/').next()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn schemas() -> Value {
        json!({
            "Status": {"type": "string", "enum": ["active", "banned"]},
            "Change": {
                "type": "object", "required": ["status"],
                "properties": {
                    "status": {"$ref": "#/components/schemas/Status"},
                    "message": {"type": ["string", "null"]},
                    "role": {"type": "string", "description": "`user` or `admin`.", "example": "admin"},
                    "parts": {"type": "array", "items": {"$ref": "#/components/schemas/Status"}},
                },
            },
        })
    }

    #[test]
    fn kinds_are_short_and_lead_to_named_types() {
        let schemas = schemas();
        let schemas = Schemas(&schemas);
        let fields = schemas.fields(&schemas.0["Change"]);
        let kinds: Vec<(&str, &str, bool, Option<&str>)> = fields
            .iter()
            .map(|field| (field.name.as_str(), field.kind.as_str(), field.is_required, field.type_name.as_deref()))
            .collect();
        assert_eq!(
            kinds,
            [
                ("message", "string | null", false, None),
                ("parts", "Status[]", false, Some("Status")),
                ("role", "string", false, None),
                ("status", "Status", true, Some("Status")),
            ]
        );
    }

    #[test]
    fn an_example_has_what_is_required_and_what_the_document_gives_an_example_of() {
        let schemas = schemas();
        let schemas = Schemas(&schemas);
        assert_eq!(schemas.example("", &schemas.0["Change"]), json!({"role": "admin", "status": "active"}));
    }
}
