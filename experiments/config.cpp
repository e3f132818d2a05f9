#include "slowsde/experiments/config.hpp"

#include <fmt/format.h>

#define TOML_EXCEPTIONS 1
#include <toml++/toml.h>

#include <algorithm>
#include <cctype>
#include <cstring>
#include <fstream>
#include <limits>
#include <sstream>
#include <variant>

#include "slowsde/experiments/nearest.hpp"

namespace slowsde {

namespace fs = std::filesystem;

namespace detail {

struct ConfigPlace {
  std::string file;
  std::uint32_t line = 0, column = 0;  // 0: not in a file

  std::string str() const { return line == 0 ? file : fmt::format("{}:{}:{}", file, line, column); }
};

struct ConfigNode {
  using Pointer = std::shared_ptr<ConfigNode>;
  struct Entry {
    std::string key;
    Pointer value;  // null: asked, and absent
    bool asked = false;
    bool is_default = false;
  };
  using List = std::vector<Pointer>;
  using Table = std::vector<Entry>;

  std::variant<bool, std::int64_t, double, std::string, List, Table> value = Table{};
  ConfigPlace place;

  Table* table() { return std::get_if<Table>(&value); }
  const Table* table() const { return std::get_if<Table>(&value); }
  List* list() { return std::get_if<List>(&value); }
  const List* list() const { return std::get_if<List>(&value); }

  Entry* entry(std::string_view key) {
    for (Entry& e : *table()) {
      if (e.key == key) return &e;
    }
    return nullptr;
  }

  ConfigKind kind() const {
    constexpr ConfigKind kinds[] = {ConfigKind::boolean, ConfigKind::integer, ConfigKind::real,
                                    ConfigKind::text,    ConfigKind::list,    ConfigKind::table};
    return kinds[value.index()];
  }
};

}  // namespace detail

namespace {

using detail::ConfigNode;
using detail::ConfigPlace;
using Pointer = ConfigNode::Pointer;

[[noreturn]] void fail(const ConfigPlace& place, const std::string& message) {
  throw ConfigError(place.str() + ": " + message);
}

// ---------------------------------------------------------------------------------------------- TOML to
// nodes

ConfigPlace place_of(const toml::source_region& region, const std::string& file) {
  return {file, region.begin.line, region.begin.column};
}

// `set`: the place of everything in a --set, which has no lines.
Pointer node_of(const toml::node& source, const std::string& file, const ConfigPlace* set = nullptr) {
  auto node = std::make_shared<ConfigNode>();
  node->place = set ? *set : place_of(source.source(), file);
  if (const auto* table = source.as_table()) {
    ConfigNode::Table entries;
    std::vector<std::pair<ConfigPlace, ConfigNode::Entry>> found;
    for (const auto& [key, value] : *table) {
      Pointer child = node_of(value, file, set);
      // A value's place is its key's, which is where a reader looks first.
      const ConfigPlace key_place = place_of(key.source(), file);
      if (!set) child->place = key_place;
      found.emplace_back(key_place, ConfigNode::Entry{std::string(key.str()), child, false, false});
    }
    // toml++ sorts by key; the order of the file says more.
    std::stable_sort(found.begin(), found.end(), [](const auto& x, const auto& y) {
      return std::pair(x.first.line, x.first.column) < std::pair(y.first.line, y.first.column);
    });
    for (auto& [place, entry] : found) entries.push_back(std::move(entry));
    node->value = std::move(entries);
  } else if (const auto* array = source.as_array()) {
    ConfigNode::List list;
    for (const toml::node& element : *array) list.push_back(node_of(element, file, set));
    node->value = std::move(list);
  } else if (const auto* boolean = source.as_boolean()) {
    node->value = boolean->get();
  } else if (const auto* integer = source.as_integer()) {
    node->value = integer->get();
  } else if (const auto* real = source.as_floating_point()) {
    node->value = real->get();
  } else if (const auto* text = source.as_string()) {
    node->value = text->get();
  } else {
    fail(node->place, "dates and times have no use here; write a text in quotes");
  }
  return node;
}

std::string one_line(std::string_view text) {
  std::string line(text);
  std::replace_if(
      line.begin(), line.end(), [](unsigned char c) { return std::iscntrl(c) != 0; }, ' ');
  return line;
}

Pointer parse_text(const std::string& text, const std::string& file) {
  try {
    const toml::table table = toml::parse(std::string_view(text), std::string_view(file));
    Pointer node = node_of(table, file);
    node->place = {file, 0, 0};
    return node;
  } catch (const toml::parse_error& e) {
    fail(place_of(e.source(), file), one_line(e.description()));
  }
}

// ---------------------------------------------------------------------------------------------- inheritance

// `over` on top of `base`: tables merge, everything else replaces.
void merge(ConfigNode& base, const ConfigNode& over) {
  for (const ConfigNode::Entry& e : *over.table()) {
    ConfigNode::Entry* below = base.entry(e.key);
    if (!below) {
      base.table()->push_back(e);
    } else if (below->value->table() && e.value->table()) {
      merge(*below->value, *e.value);
      below->value->place = e.value->place;
    } else {
      below->value = e.value;
    }
  }
}

Pointer take(ConfigNode& table, std::string_view key) {
  auto& entries = *table.table();
  const auto at = std::find_if(entries.begin(), entries.end(), [&](const auto& e) { return e.key == key; });
  if (at == entries.end()) return nullptr;
  Pointer value = at->value;
  entries.erase(at);
  return value;
}

Pointer load_file(const fs::path& file, const ConfigPlace* named_at, std::vector<fs::path>& opened);

// Puts the file that `key` of `holder` names, if any, beneath `target`.
bool inherit(Pointer& target, ConfigNode& holder, std::string_view key, const fs::path& folder,
             std::vector<fs::path>& opened) {
  const Pointer name = take(holder, key);
  if (!name) return false;
  const std::string* text = std::get_if<std::string>(&name->value);
  if (!text) fail(name->place, fmt::format("'{}' must be the name of a file, in quotes", key));
  const Pointer below = load_file(folder / *text, &name->place, opened);
  below->place = target->place;
  merge(*below, *target);
  target = below;
  return true;
}

Pointer resolve(Pointer node, const fs::path& folder, std::vector<fs::path>& opened) {
  inherit(node, *node, "parent", folder, opened);
  if (const ConfigNode::Entry* sweep = node->entry("sweep"); sweep && sweep->value->table()) {
    // The base lies beneath the whole file; its kind is the kind of each point.
    const Pointer sweep_table = sweep->value;
    const Pointer own_kind = take(*node, "kind");
    if (inherit(node, *sweep_table, "base", folder, opened)) {
      const Pointer base_kind = take(*node, "kind");
      ConfigNode& merged = *node->entry("sweep")->value;
      if (base_kind && !merged.entry("experiment"))
        merged.table()->push_back({"experiment", base_kind, false, false});
    }
    if (own_kind) node->table()->insert(node->table()->begin(), {"kind", own_kind, false, false});
  }
  if (ConfigNode::Entry* parts = node->entry("parts"); parts && parts->value->list()) {
    for (Pointer& part : *parts->value->list()) {
      if (part->table()) inherit(part, *part, "config", folder, opened);
    }
  }
  return node;
}

Pointer load_file(const fs::path& file, const ConfigPlace* named_at, std::vector<fs::path>& opened) {
  const std::string shown = file.lexically_normal().string();
  const auto refuse = [&](const std::string& why) {
    if (named_at) fail(*named_at, fmt::format("'{}': {}", shown, why));
    throw ConfigError(shown + ": " + why);
  };
  std::error_code code;
  const fs::path canonical = fs::canonical(file, code);
  if (code) refuse(code.message());
  if (fs::is_directory(canonical)) refuse("is a directory, not a configuration");
  if (std::find(opened.begin(), opened.end(), canonical) != opened.end()) {
    refuse("is a parent of itself (the files inherit in a cycle)");
  }
  std::ifstream stream(canonical, std::ios::binary);
  std::ostringstream text;
  if (stream) text << stream.rdbuf();
  if (!stream || stream.bad()) refuse(std::string("can not be read: ") + std::strerror(errno));

  opened.push_back(canonical);
  Pointer node = resolve(parse_text(text.str(), shown), file.parent_path(), opened);
  opened.pop_back();
  return node;
}

// ---------------------------------------------------------------------------------------------- overrides

// a."b.c".0 -> {a, b.c, 0}
std::vector<std::string> split_path(std::string_view path, const ConfigPlace& place) {
  std::vector<std::string> names(1);
  char quote = 0;
  for (const char c : path) {
    if (quote) {
      if (c == quote) {
        quote = 0;
      } else {
        names.back() += c;
      }
    } else if (c == '"' || c == '\'') {
      quote = c;
    } else if (c == '.') {
      names.emplace_back();
    } else {
      names.back() += c;
    }
  }
  for (const std::string& name : names) {
    if (name.empty() || quote) fail(place, fmt::format("'{}' is not the name of a key", path));
  }
  return names;
}

Pointer element_of(ConfigNode& list, const std::string& name, const std::string& list_path,
                   const ConfigPlace& place) {
  auto& elements = *list.list();
  if (std::all_of(name.begin(), name.end(), [](unsigned char c) { return std::isdigit(c) != 0; })) {
    const std::size_t index = name.size() > 9 ? elements.size() : std::stoul(name);
    if (index >= elements.size()) {
      fail(place, fmt::format("'{}' has no element {}: it has {}, counted from 0", list_path, name,
                              elements.size()));
    }
    return elements[index];
  }
  std::vector<std::string> names;
  for (const Pointer& element : elements) {
    if (!element->table()) continue;
    ConfigNode::Entry* e = element->entry("name");
    const std::string* own = e && e->value ? std::get_if<std::string>(&e->value->value) : nullptr;
    if (own && *own == name) return element;
    if (own) names.push_back(*own);
  }
  fail(place, fmt::format("'{}' has no element named '{}'{}", list_path, name, suggestion(name, names)));
}

void assign_at(Pointer root, std::string_view path, const Pointer& value, const ConfigPlace& place) {
  const std::vector<std::string> names = split_path(path, place);
  Pointer node = root;
  std::string so_far;
  for (std::size_t depth = 0; depth < names.size(); ++depth) {
    const std::string& name = names[depth];
    const bool last = depth + 1 == names.size();
    if (node->list()) {
      const Pointer element = element_of(*node, name, so_far, place);
      if (last) {
        element->value = value->value;
        element->place = value->place;
      }
      node = element;
    } else if (node->table()) {
      ConfigNode::Entry* e = node->entry(name);
      if (!e) {
        auto created = std::make_shared<ConfigNode>();
        created->place = place;
        node->table()->push_back({name, created, false, false});
        e = &node->table()->back();
      }
      if (last) e->value = value;
      node = e->value;
    } else {
      fail(place, fmt::format("'{}' is not a table", so_far));
    }
    so_far += so_far.empty() ? name : "." + name;
  }
}

void apply_set(const Pointer& root, const std::string& set) {
  const ConfigPlace place{"--set " + one_line(set), 0, 0};
  // The value begins after the first '=' outside quotes.
  std::size_t equals = std::string::npos;
  char quote = 0;
  for (std::size_t i = 0; i < set.size() && equals == std::string::npos; ++i) {
    if (quote) {
      if (set[i] == quote) quote = 0;
    } else if (set[i] == '"' || set[i] == '\'') {
      quote = set[i];
    } else if (set[i] == '=') {
      equals = i;
    }
  }
  const auto trim = [](std::string_view s) {
    while (!s.empty() && std::isspace(static_cast<unsigned char>(s.front()))) s.remove_prefix(1);
    while (!s.empty() && std::isspace(static_cast<unsigned char>(s.back()))) s.remove_suffix(1);
    return s;
  };
  if (equals == std::string::npos) fail(place, "must be KEY=VALUE");
  const std::string_view path = trim(std::string_view(set).substr(0, equals));
  const std::string text(trim(std::string_view(set).substr(equals + 1)));
  if (text.empty()) fail(place, "the value is missing (an empty text is \"\")");

  Pointer value;
  try {
    const toml::table parsed = toml::parse("v = " + text);
    if (parsed.size() != 1) fail(place, "the value must be one line");
    value = node_of(*parsed.get("v"), place.file, &place);
  } catch (const toml::parse_error& e) {
    // Not TOML: a bare word stands for itself.
    if (std::strchr("[{\"'", text[0]) || text.find_first_of("\n\r") != std::string::npos) {
      fail(place, one_line(e.description()));
    }
    value = std::make_shared<ConfigNode>();
    value->value = text;
    value->place = place;
  }
  assign_at(root, path, value, place);
}

// ---------------------------------------------------------------------------------------------- nodes to
// TOML

std::string write_text(std::string_view text) {
  std::string out = "\"";
  for (const char c : text) {
    switch (c) {
      case '"':
        out += "\\\"";
        break;
      case '\\':
        out += "\\\\";
        break;
      case '\n':
        out += "\\n";
        break;
      case '\t':
        out += "\\t";
        break;
      case '\r':
        out += "\\r";
        break;
      default:
        if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f) {
          out += fmt::format("\\u{:04X}", static_cast<unsigned>(static_cast<unsigned char>(c)));
        } else {
          out += c;
        }
    }
  }
  return out + '"';
}

std::string write_key(std::string_view key) {
  const bool bare = !key.empty() && std::all_of(key.begin(), key.end(), [](unsigned char c) {
    return (std::isalnum(c) && c < 128) || c == '_' || c == '-';
  });
  return bare ? std::string(key) : write_text(key);
}

std::string write_real(double x) {
  std::string out = fmt::format("{}", x);  // the shortest digits that read back as x
  if (std::isfinite(x) && out.find_first_of(".e") == std::string::npos) out += ".0";
  return out;
}

std::string write_inline(const ConfigNode& node) {
  switch (node.kind()) {
    case ConfigKind::boolean:
      return std::get<bool>(node.value) ? "true" : "false";
    case ConfigKind::integer:
      return fmt::format("{}", std::get<std::int64_t>(node.value));
    case ConfigKind::real:
      return write_real(std::get<double>(node.value));
    case ConfigKind::text:
      return write_text(std::get<std::string>(node.value));
    case ConfigKind::list: {
      std::string out = "[";
      for (const Pointer& element : *node.list())
        out += (out.size() > 1 ? ", " : "") + write_inline(*element);
      return out + "]";
    }
    default: {
      std::string out = "{";
      for (const auto& e : *node.table()) {
        if (e.value) out += (out.size() > 1 ? ", " : " ") + write_key(e.key) + " = " + write_inline(*e.value);
      }
      return out + (out.size() > 1 ? " }" : "}");
    }
  }
}

bool is_list_of_tables(const ConfigNode& node) {
  return node.list() && !node.list()->empty() &&
         std::all_of(node.list()->begin(), node.list()->end(),
                     [](const Pointer& e) { return e->table() != nullptr; });
}

void write_entries(const ConfigNode& table, const std::string& path, std::string& out) {
  const auto begin_section = [&](std::string_view open, const std::string& name, std::string_view close) {
    if (!out.empty()) out += '\n';
    out += fmt::format("{}{}{}\n", open, name, close);
  };
  for (const auto& e : *table.table()) {
    if (!e.value || e.value->table() || is_list_of_tables(*e.value)) continue;
    out += write_key(e.key) + " = " + write_inline(*e.value) + "\n";
  }
  for (const auto& e : *table.table()) {
    if (!e.value || !e.value->table()) continue;
    const std::string name = (path.empty() ? "" : path + ".") + write_key(e.key);
    begin_section("[", name, "]");
    write_entries(*e.value, name, out);
  }
  for (const auto& e : *table.table()) {
    if (!e.value || !is_list_of_tables(*e.value)) continue;
    const std::string name = (path.empty() ? "" : path + ".") + write_key(e.key);
    for (const Pointer& element : *e.value->list()) {
      begin_section("[[", name, "]]");
      write_entries(*element, name, out);
    }
  }
}

// ---------------------------------------------------------------------------------------------- what was
// asked

std::string joined(const std::string& path, std::string_view key) {
  return path.empty() ? std::string(key) : path + "." + std::string(key);
}

void collect_asked(const ConfigNode& node, const std::string& path, std::vector<std::string>& names) {
  if (node.table()) {
    for (const auto& e : *node.table()) {
      if (!e.asked) continue;
      names.push_back(joined(path, e.key));
      if (e.value) collect_asked(*e.value, names.back(), names);
    }
  } else if (node.list()) {
    for (std::size_t i = 0; i < node.list()->size(); ++i) {
      collect_asked(*(*node.list())[i], joined(path, std::to_string(i)), names);
    }
  }
}

struct Unknown {
  std::string leaf, ancestor;  // the first key that nobody read, and the outermost unread table that holds it
  ConfigPlace place;
};

// The first leaf within an entry that nobody read.
void first_leaf(const ConfigNode& node, const std::string& path, Unknown& unknown) {
  if (node.table()) {
    for (const auto& e : *node.table()) {
      if (e.value) return first_leaf(*e.value, joined(path, e.key), unknown);
    }
  } else if (is_list_of_tables(node)) {
    return first_leaf(*node.list()->front(), joined(path, "0"), unknown);
  }
  unknown.leaf = path;
  unknown.place = node.place;
}

std::optional<Unknown> find_unknown(const ConfigNode& node, const std::string& path) {
  if (node.table()) {
    for (const auto& e : *node.table()) {
      if (!e.value) continue;
      const std::string name = joined(path, e.key);
      if (!e.asked) {
        Unknown unknown;
        unknown.ancestor = name;
        first_leaf(*e.value, name, unknown);
        return unknown;
      }
      if (auto within = find_unknown(*e.value, name)) return within;
    }
  } else if (is_list_of_tables(node)) {
    for (std::size_t i = 0; i < node.list()->size(); ++i) {
      if (auto within = find_unknown(*(*node.list())[i], joined(path, std::to_string(i)))) return within;
    }
  }
  return std::nullopt;
}

// A key that is missing is most often one that is there under a mistyped name: an unread key at the same
// depth, equal but for one letter or two in one of its names.
void find_mistyped(const ConfigNode& node, const std::string& path, const std::vector<std::string>& missing,
                   std::size_t depth, bool differs, std::string& found, ConfigPlace& place) {
  if (!found.empty()) return;
  if (node.list()) {
    const auto& elements = *node.list();
    for (std::size_t i = 0; i < elements.size(); ++i) {
      if (std::to_string(i) == missing[depth] && depth + 1 < missing.size()) {
        find_mistyped(*elements[i], joined(path, missing[depth]), missing, depth + 1, differs, found, place);
      }
    }
  } else if (node.table()) {
    for (const auto& e : *node.table()) {
      if (!e.value) continue;
      const bool same = e.key == missing[depth];
      const bool near = !same && !e.asked && !differs && !nearest(e.key, {missing[depth]}).empty() &&
                        edit_distance(e.key, missing[depth]) <= 2;
      if (!same && !near) continue;
      if (depth + 1 < missing.size()) {
        find_mistyped(*e.value, joined(path, e.key), missing, depth + 1, differs || near, found, place);
      } else if (!e.asked && (differs || near)) {
        found = joined(path, e.key);
        place = e.value->place;
      }
    }
  }
}

Pointer deep_copy(const ConfigNode& node, bool keep_defaults) {
  auto copy = std::make_shared<ConfigNode>();
  copy->place = node.place;
  if (node.table()) {
    ConfigNode::Table entries;
    for (const auto& e : *node.table()) {
      if (e.value && (keep_defaults || !e.is_default)) {
        entries.push_back({e.key, deep_copy(*e.value, keep_defaults), false, e.is_default});
      }
    }
    copy->value = std::move(entries);
  } else if (node.list()) {
    ConfigNode::List list;
    for (const Pointer& element : *node.list()) list.push_back(deep_copy(*element, keep_defaults));
    copy->value = std::move(list);
  } else {
    copy->value = node.value;
  }
  return copy;
}

void absorb_node(ConfigNode& into, const std::vector<const ConfigNode*>& copies) {
  if (into.list()) {
    for (std::size_t i = 0; i < into.list()->size(); ++i) {
      std::vector<const ConfigNode*> within;
      for (const ConfigNode* copy : copies) {
        if (copy->list() && i < copy->list()->size()) within.push_back((*copy->list())[i].get());
      }
      absorb_node(*(*into.list())[i], within);
    }
    return;
  }
  if (!into.table()) return;
  // All keys that some copy holds or was asked for, in the order of the copies.
  for (const ConfigNode* copy : copies) {
    if (!copy->table()) continue;
    for (const auto& e : *copy->table()) {
      if (!e.asked) continue;
      ConfigNode::Entry* own = into.entry(e.key);
      if (!own) {
        into.table()->push_back({e.key, nullptr, true, true});
        own = &into.table()->back();
      }
      own->asked = true;
    }
  }
  for (auto& own : *into.table()) {
    std::vector<const ConfigNode*> within;
    bool is_table = false, agree = true;
    for (const ConfigNode* copy : copies) {
      if (!copy->table()) continue;
      for (const auto& e : *copy->table()) {
        if (e.key != own.key || !e.value) continue;
        is_table = is_table || e.value->table();
        agree = agree && (within.empty() || write_inline(*within.front()) == write_inline(*e.value));
        within.push_back(e.value.get());
      }
    }
    if (within.empty()) continue;
    if (own.value) {
      absorb_node(*own.value, within);
    } else if (is_table) {
      own.value = std::make_shared<ConfigNode>();
      absorb_node(*own.value, within);
    } else if (agree) {
      own.value = deep_copy(*within.front(), true);
    }
  }
}

std::string kind_name(ConfigKind kind) {
  switch (kind) {
    case ConfigKind::boolean:
      return "a boolean";
    case ConfigKind::integer:
      return "an integer";
    case ConfigKind::real:
      return "a number";
    case ConfigKind::text:
      return "a text";
    case ConfigKind::list:
      return "a list";
    case ConfigKind::table:
      return "a table";
    default:
      return "absent";
  }
}

std::string shown_value(const ConfigNode& node) {
  const std::string text = write_inline(node);
  return text.size() <= 60 ? text : kind_name(node.kind());
}

template <class T>
Pointer node_from(const T& value) {
  auto node = std::make_shared<ConfigNode>();
  if constexpr (std::is_same_v<T, bool> || std::is_same_v<T, double> || std::is_same_v<T, std::string>) {
    node->value = value;
  } else if constexpr (std::is_arithmetic_v<T>) {
    node->value = static_cast<std::int64_t>(value);
  } else {
    ConfigNode::List list;
    for (const auto& element : value) list.push_back(node_from<typename T::value_type>(element));
    node->value = std::move(list);
  }
  node->place = {"a default", 0, 0};
  return node;
}

template <class T>
struct is_vector : std::false_type {};
template <class T>
struct is_vector<std::vector<T>> : std::true_type {};

}  // namespace

// ---------------------------------------------------------------------------------------------- values

ConfigValue ConfigValue::of(const std::string& text) { return ConfigValue(node_from<std::string>(text)); }
ConfigValue ConfigValue::of(std::int64_t number) { return ConfigValue(node_from<std::int64_t>(number)); }

ConfigKind ConfigValue::kind() const { return node_->kind(); }

double ConfigValue::number() const {
  switch (node_->kind()) {
    case ConfigKind::boolean:
      return std::get<bool>(node_->value) ? 1 : 0;
    case ConfigKind::integer:
      return static_cast<double>(std::get<std::int64_t>(node_->value));
    case ConfigKind::real:
      return std::get<double>(node_->value);
    default:
      return std::numeric_limits<double>::quiet_NaN();
  }
}

std::string ConfigValue::text() const {
  const std::string* text = std::get_if<std::string>(&node_->value);
  return text ? *text : write_inline(*node_);
}

// ---------------------------------------------------------------------------------------------- tables

ConfigTable::ConfigTable(NodePointer node, NodePointer root, std::string path)
    : node_(std::move(node)), root_(std::move(root)), path_(std::move(path)) {}

ConfigTable::ConfigTable() : node_(std::make_shared<ConfigNode>()), root_(node_) {
  node_->place = {"an empty configuration", 0, 0};
}

ConfigTable ConfigTable::load(const fs::path& file, const std::vector<std::string>& sets) {
  std::vector<fs::path> opened;
  const Pointer root = load_file(file, nullptr, opened);
  for (const std::string& set : sets) apply_set(root, set);
  return ConfigTable(root, root, "");
}

ConfigTable ConfigTable::parse(const std::string& text, const std::string& name,
                               const std::vector<std::string>& sets) {
  std::vector<fs::path> opened;
  const Pointer root = resolve(parse_text(text, name), fs::path(), opened);
  for (const std::string& set : sets) apply_set(root, set);
  return ConfigTable(root, root, "");
}

std::string ConfigTable::full(std::string_view key) const { return joined(path_, key); }

ConfigTable::NodePointer ConfigTable::peek(std::string_view key) const {
  const ConfigNode::Entry* e = node_->entry(key);
  return e ? e->value : nullptr;
}

ConfigTable::NodePointer ConfigTable::ask(std::string_view key) {
  ConfigNode::Entry* e = node_->entry(key);
  if (!e) {
    node_->table()->push_back({std::string(key), nullptr, true, true});
    return nullptr;
  }
  e->asked = true;
  return e->value;
}

ConfigTable::NodePointer ConfigTable::ask_required(std::string_view key) {
  if (NodePointer node = ask(key)) return node;
  std::string found;
  ConfigPlace place;
  find_mistyped(*root_, "", split_path(full(key), node_->place), 0, false, found, place);
  if (!found.empty()) fail(place, fmt::format("unknown key '{}'; did you mean '{}'?", found, full(key)));
  fail(node_->place, fmt::format("the key '{}' is missing", full(key)));
}

void ConfigTable::record(std::string_view key, NodePointer fallback) {
  ConfigNode::Entry* e = node_->entry(key);
  fallback->place = node_->place;
  e->value = std::move(fallback);
  e->is_default = true;
}

ConfigKind ConfigTable::kind(std::string_view key) const {
  const NodePointer node = peek(key);
  return node ? node->kind() : ConfigKind::absent;
}

template <class T>
T ConfigTable::convert(std::string_view key, const ConfigNode& node) const {
  const auto refuse = [&](std::string_view expected) {
    fail(node.place, fmt::format("{} = {} must be {}", full(key), shown_value(node), expected));
  };
  if constexpr (std::is_same_v<T, bool>) {
    if (node.kind() != ConfigKind::boolean) refuse("true or false");
    return std::get<bool>(node.value);
  } else if constexpr (std::is_same_v<T, std::string>) {
    if (node.kind() != ConfigKind::text) refuse("a text, in quotes");
    return std::get<std::string>(node.value);
  } else if constexpr (std::is_same_v<T, double>) {
    if (node.kind() == ConfigKind::integer) return static_cast<double>(std::get<std::int64_t>(node.value));
    if (node.kind() != ConfigKind::real || std::isnan(std::get<double>(node.value))) refuse("a number");
    return std::get<double>(node.value);
  } else if constexpr (std::is_arithmetic_v<T>) {
    if (node.kind() != ConfigKind::integer) refuse("an integer");
    const std::int64_t value = std::get<std::int64_t>(node.value);
    if (!std::in_range<T>(value)) {
      refuse(value < 0 ? fmt::format("an integer >= {}", std::numeric_limits<T>::min())
                       : fmt::format("an integer <= {}", std::numeric_limits<T>::max()));
    }
    return static_cast<T>(value);
  } else {
    static_assert(is_vector<T>::value);
    if (node.kind() != ConfigKind::list) refuse("a list");
    T out;
    for (std::size_t i = 0; i < node.list()->size(); ++i) {
      const ConfigNode& element = *(*node.list())[i];
      out.push_back(convert<typename T::value_type>(joined(std::string(key), std::to_string(i)), element));
    }
    return out;
  }
}

template <ConfigScalar T>
T ConfigTable::get(std::string_view key, const std::type_identity_t<T>& fallback) {
  if (const NodePointer node = ask(key)) return convert<T>(key, *node);
  record(key, node_from<T>(fallback));
  return fallback;
}

template <ConfigScalar T>
T ConfigTable::require(std::string_view key) {
  return convert<T>(key, *ask_required(key));
}

template <ConfigScalar T>
std::optional<T> ConfigTable::find(std::string_view key) {
  if (const NodePointer node = ask(key)) return convert<T>(key, *node);
  return std::nullopt;
}

template <class T>
std::vector<T> ConfigTable::list(std::string_view key) {
  return convert<std::vector<T>>(key, *ask_required(key));
}

template <class T>
std::vector<T> ConfigTable::list(std::string_view key, const std::vector<T>& fallback) {
  if (const NodePointer node = ask(key)) return convert<std::vector<T>>(key, *node);
  record(key, node_from<std::vector<T>>(fallback));
  return fallback;
}

#define SLOWSDE_CONFIG_LIST(T)                                    \
  template std::vector<T> ConfigTable::list<T>(std::string_view); \
  template std::vector<T> ConfigTable::list<T>(std::string_view, const std::vector<T>&);
#define SLOWSDE_CONFIG_SCALAR(T)                                                    \
  template T ConfigTable::get<T>(std::string_view, const std::type_identity_t<T>&); \
  template T ConfigTable::require<T>(std::string_view);                             \
  template std::optional<T> ConfigTable::find<T>(std::string_view);                 \
  SLOWSDE_CONFIG_LIST(T)
SLOWSDE_CONFIG_SCALAR(bool)
SLOWSDE_CONFIG_SCALAR(int)
SLOWSDE_CONFIG_SCALAR(std::int64_t)
SLOWSDE_CONFIG_SCALAR(std::uint64_t)
SLOWSDE_CONFIG_SCALAR(double)
SLOWSDE_CONFIG_SCALAR(std::string)
SLOWSDE_CONFIG_LIST(std::vector<double>)
#undef SLOWSDE_CONFIG_SCALAR
#undef SLOWSDE_CONFIG_LIST

ConfigTable ConfigTable::table(std::string_view key) {
  NodePointer node = ask(key);
  if (!node) {
    record(key, std::make_shared<ConfigNode>());
    node = peek(key);
  }
  if (!node->table())
    fail(node->place, fmt::format("{} = {} must be a table", full(key), shown_value(*node)));
  return ConfigTable(node, root_, full(key));
}

std::vector<ConfigTable> ConfigTable::tables(std::string_view key) {
  const NodePointer node = ask(key);
  if (!node) return {};
  if (!node->list()) {
    fail(node->place,
         fmt::format("{} = {} must be a list of tables ([[{}]])", full(key), shown_value(*node), full(key)));
  }
  std::vector<ConfigTable> out;
  for (std::size_t i = 0; i < node->list()->size(); ++i) {
    const NodePointer& element = (*node->list())[i];
    const std::string name = joined(full(key), std::to_string(i));
    if (!element->table())
      fail(element->place, fmt::format("{} = {} must be a table", name, shown_value(*element)));
    out.push_back(ConfigTable(element, root_, name));
  }
  return out;
}

std::string ConfigTable::one_of(std::string_view key, const std::vector<std::string>& words,
                                std::optional<std::string> fallback) {
  const std::string value = fallback ? get<std::string>(key, *fallback) : require<std::string>(key);
  if (std::find(words.begin(), words.end(), value) == words.end()) {
    std::string all;
    for (const std::string& word : words) all += (all.empty() ? "" : ", ") + word;
    throw error(key, fmt::format("must be one of {}{}", all, suggestion(value, words)));
  }
  return value;
}

void ConfigTable::check(std::string_view key, bool holds, std::string_view requirement) const {
  if (!holds) throw error(key, requirement);
}

ConfigError ConfigTable::error(std::string_view key, std::string_view requirement) const {
  const NodePointer node = peek(key);
  if (!node) return ConfigError(fmt::format("{}: {} {}", node_->place.str(), full(key), requirement));
  return ConfigError(
      fmt::format("{}: {} = {} {}", node->place.str(), full(key), shown_value(*node), requirement));
}

ConfigError ConfigTable::error(std::string_view message) const {
  return ConfigError(
      fmt::format("{}: {}{}", node_->place.str(), path_.empty() ? "" : path_ + ": ", one_line(message)));
}

void ConfigTable::finish() const {
  const auto unknown = find_unknown(*node_, path_);
  if (!unknown) return;
  std::vector<std::string> known;
  collect_asked(*node_, path_, known);
  // The leaf tells most; where nothing like it is known, the table that holds it may be what is misspelt.
  std::string name = unknown->leaf;
  std::string hint = suggestion(name, known);
  if (hint.empty() && unknown->ancestor != unknown->leaf) {
    hint = suggestion(unknown->ancestor, known);
    if (!hint.empty()) name = unknown->ancestor;
  }
  fail(unknown->place, fmt::format("unknown key '{}'{}", name, hint));
}

std::string ConfigTable::effective() const {
  std::string out;
  write_entries(*node_, "", out);
  return out;
}

ConfigTable ConfigTable::as_root() const { return ConfigTable(node_, node_, ""); }

ConfigTable ConfigTable::pristine() const {
  const Pointer copy = deep_copy(*node_, false);
  return ConfigTable(copy, copy, "");
}

void ConfigTable::erase(std::string_view key) { take(*node_, key); }

std::vector<ConfigValue> ConfigTable::values(std::string_view key) {
  const NodePointer node = ask_required(key);
  if (!node->list()) fail(node->place, fmt::format("{} = {} must be a list", full(key), shown_value(*node)));
  std::vector<ConfigValue> out;
  for (const NodePointer& element : *node->list()) out.push_back(ConfigValue(element));
  return out;
}

void ConfigTable::assign(std::string_view path, const ConfigValue& value) {
  assign_at(node_, path, deep_copy(*value.node_, true), value.node_->place);
}

void ConfigTable::absorb(const std::vector<ConfigTable>& copies) {
  std::vector<const ConfigNode*> nodes;
  for (const ConfigTable& copy : copies) nodes.push_back(copy.node_.get());
  absorb_node(*node_, nodes);
}

}  // namespace slowsde
