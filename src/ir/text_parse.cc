// SPDX-License-Identifier: Apache-2.0
#include <charconv>
#include <limits>
#include <map>

#include "base/error.h"
#include "base/random.h"
#include "ir/text.h"

namespace kvant::ir {
namespace {

// A literal list may hold this many elements; larger constants come by rand, fill or @offset.
constexpr int64_t kMaxLiteral = int64_t{1} << 24;

bool is_name_char(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' || c == '.' ||
         c == '/' || c == '-';
}

class Scanner {
 public:
  explicit Scanner(std::string_view text) : text_(text) {}

  [[noreturn]] void error(const std::string& message) const {
    size_t line = 1, column = 1;
    for (size_t i = 0; i < position_ && i < text_.size(); ++i) {
      column = text_[i] == '\n' ? 1 : column + 1;
      line += text_[i] == '\n' ? 1 : 0;
    }
    fail("graph text, line {}, column {}: {}", line, column, message);
  }

  void skip_space() {
    while (position_ < text_.size()) {
      const char c = text_[position_];
      if (c == '#') {
        while (position_ < text_.size() && text_[position_] != '\n') ++position_;
      } else if (c == ' ' || c == '\n' || c == '\t' || c == '\r') {
        ++position_;
      } else {
        return;
      }
    }
  }
  char peek() {
    skip_space();
    return position_ < text_.size() ? text_[position_] : '\0';
  }
  bool take(char c) {
    if (peek() != c) return false;
    ++position_;
    return true;
  }
  void expect(char c) {
    if (!take(c)) error(fmt::format("expected '{}'", c));
  }
  std::string word() {
    skip_space();
    const size_t begin = position_;
    while (position_ < text_.size() && is_name_char(text_[position_])) ++position_;
    if (begin == position_) error("expected a name");
    return std::string(text_.substr(begin, position_ - begin));
  }
  // A word if one is next and equals `keyword`.
  bool take_word(std::string_view keyword) {
    skip_space();
    if (!text_.substr(position_).starts_with(keyword)) return false;
    const size_t after = position_ + keyword.size();
    if (after < text_.size() && is_name_char(text_[after])) return false;
    position_ = after;
    return true;
  }
  std::string string() {
    expect('"');
    std::string result;
    while (position_ < text_.size() && text_[position_] != '"') {
      char c = text_[position_++];
      if (c == '\\' && position_ < text_.size()) c = escape();
      result += c;
    }
    if (position_ >= text_.size()) error("a string has no end");
    ++position_;
    return result;
  }
  // The text of a number: digits, sign, point, exponent, nan, inf.
  std::string_view number() {
    skip_space();
    const size_t begin = position_;
    while (position_ < text_.size() && (is_name_char(text_[position_]) || text_[position_] == '+'))
      ++position_;
    if (begin == position_) error("expected a number");
    return text_.substr(begin, position_ - begin);
  }

 private:
  char escape() {
    const char c = text_[position_++];
    if (c == 'n') return '\n';
    if (c != 'x') return c;
    unsigned code = 0;
    if (position_ + 2 > text_.size()) error("a string has no end");
    std::from_chars(text_.data() + position_, text_.data() + position_ + 2, code, 16);
    position_ += 2;
    return static_cast<char>(code);
  }

  std::string_view text_;
  size_t position_ = 0;
};

template <class T>
T to_number(const Scanner& scanner, std::string_view text) {
  T value{};
  const auto [end, code] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (code != std::errc() || end != text.data() + text.size())
    scanner.error(fmt::format("'{}' is not a number of this type", text));
  return value;
}

bool looks_like_float(std::string_view text) {
  return text.find_first_of(".en") != std::string_view::npos;  // 1.5, 1e3, nan, inf
}

class Parser {
 public:
  Parser(std::string_view text, const ConstantLoader& load) : scanner_(text), load_(load) {}

  Graph parse() {
    if (!scanner_.take_word("graph")) scanner_.error("expected 'graph'");
    graph_.name = scanner_.string();
    scanner_.expect('{');
    while (!scanner_.take('}')) statement();
    if (scanner_.peek() != '\0') scanner_.error("text after the graph's end");
    check_all_defined();
    return std::move(graph_);
  }

 private:
  void statement() {
    if (scanner_.take_word("meta")) return meta();
    if (scanner_.take_word("input")) return input();
    if (scanner_.take_word("const")) return constant();
    if (scanner_.take_word("output")) return output();
    node();
  }

  void meta() {
    const std::string key = scanner_.string();
    scanner_.expect('=');
    graph_.metadata[key] = scanner_.string();
  }

  std::string value_name() {
    scanner_.expect('%');
    return scanner_.peek() == '"' ? scanner_.string() : scanner_.word();
  }

  void must_be_new(const std::string& name) {
    if (graph_.find_value(name) != kNone) scanner_.error(fmt::format("'%{}' is defined twice", name));
  }

  void input() {
    const std::string name = value_name();
    must_be_new(name);
    scanner_.expect(':');
    std::vector<std::string> dim_names;
    Type type = this->type(&dim_names);
    graph_.add_input(name, std::move(type), std::move(dim_names));
  }

  void constant() {
    const std::string name = value_name();
    must_be_new(name);
    scanner_.expect(':');
    const Type type = this->type(nullptr);
    if (!type.is_static()) scanner_.error("a constant needs a fixed shape");
    scanner_.expect('=');
    graph_.add_constant(name, content(type.dtype, *type.shape));
  }

  void output() {
    const std::string name = value_name();
    const ValueId id = graph_.find_value(name);
    if (id == kNone) scanner_.error(fmt::format("output '%{}' is not defined", name));
    graph_.add_output(id);
  }

  Type type(std::vector<std::string>* dim_names) {
    const std::string dtype_text = scanner_.word();
    const std::optional<DType> dtype = dtype_named(dtype_text);
    if (!dtype) scanner_.error(fmt::format("'{}' is not an element type", dtype_text));
    Type type{*dtype, Shape{}};
    if (!scanner_.take('[')) return type;
    if (scanner_.take('*')) {
      type.shape.reset();
      scanner_.expect(']');
      return type;
    }
    while (!scanner_.take(']')) {
      if (!type.shape->empty()) scanner_.expect(',');
      dimension(*type.shape, dim_names);
      if (type.shape->size() > 64) scanner_.error("too many dimensions");
    }
    return type;
  }

  void dimension(Shape& shape, std::vector<std::string>* dim_names) {
    std::string symbol;
    if (scanner_.take('?')) {
      shape.push_back(kUnknownDim);
    } else {
      const std::string text = scanner_.word();
      if (text[0] >= '0' && text[0] <= '9') {
        shape.push_back(to_number<int64_t>(scanner_, text));
      } else {
        shape.push_back(kUnknownDim);
        symbol = text;
      }
    }
    if (dim_names) dim_names->push_back(symbol);
  }

  Tensor content(DType dtype, const Shape& shape) {
    const int64_t count = element_count(shape);
    if (scanner_.take('@')) {
      const auto offset = to_number<size_t>(scanner_, scanner_.number());
      if (!load_) scanner_.error("there is no blob to take a constant from");
      return load_(dtype, shape, offset);
    }
    if (count > kMaxLiteral)
      scanner_.error(fmt::format("a constant of {} elements is too large for the text form", count));
    if (scanner_.take_word("fill")) return fill(dtype, shape);
    if (scanner_.take_word("rand")) return random(dtype, shape);
    return literal(dtype, shape);
  }

  Tensor fill(DType dtype, const Shape& shape) {
    scanner_.expect('(');
    const float value = to_number<float>(scanner_, scanner_.number());
    scanner_.expect(')');
    return Tensor::full(shape, value).cast(dtype);
  }

  Tensor random(DType dtype, const Shape& shape) {
    scanner_.expect('(');
    Random random(to_number<uint64_t>(scanner_, scanner_.number()));
    scanner_.expect(')');
    Tensor floats(DType::Float32, shape);
    for (float& x : floats.mutable_data<float>()) {
      x = is_float(dtype) ? random.uniform(-1, 1)
                          : static_cast<float>(static_cast<int>(random.below(201)) - 100);
    }
    return floats.cast(dtype);
  }

  Tensor literal(DType dtype, const Shape& shape) {
    scanner_.expect('{');
    Tensor result(dtype, shape);
    visit_dtype(dtype, [&]<class T>() {
      size_t i = 0;
      for (T& x : result.mutable_data<T>()) {
        if (i++ > 0) scanner_.expect(',');
        x = element<T>();
      }
    });
    scanner_.expect('}');
    return result;
  }

  template <class T>
  T element() {
    const std::string_view text = scanner_.number();
    if constexpr (std::is_same_v<T, Half> || std::is_same_v<T, BFloat16>) {
      return T(to_number<float>(scanner_, text));
    } else if constexpr (std::is_same_v<T, bool>) {
      return to_number<int>(scanner_, text) != 0;
    } else {
      return to_number<T>(scanner_, text);
    }
  }

  void node() {
    std::vector<std::string> names;
    std::vector<std::optional<Type>> types;
    do {
      if (scanner_.take_word("_")) {
        names.emplace_back();
        types.emplace_back();
        continue;
      }
      names.push_back(value_name());
      must_be_new(names.back());
      types.emplace_back(scanner_.take(':') ? std::optional(type(nullptr)) : std::nullopt);
    } while (scanner_.take(','));
    scanner_.expect('=');
    const std::string op = scanner_.word();
    const std::string name = scanner_.peek() == '"' ? scanner_.string() : "";
    std::vector<ValueId> inputs = arguments();
    Attributes attributes = scanner_.take('{') ? this->attributes() : Attributes{};
    add_node(op, name, std::move(inputs), names, types, std::move(attributes));
  }

  void add_node(const std::string& op, const std::string& name, std::vector<ValueId> inputs,
                const std::vector<std::string>& names, const std::vector<std::optional<Type>>& types,
                Attributes attributes) {
    const NodeId id = graph_.add_node(op, name, std::move(inputs), names, std::move(attributes));
    const std::vector<ValueId> outputs = graph_.node(id).outputs;
    for (size_t i = 0; i < names.size(); ++i) {
      if (types[i]) graph_.set_type(outputs[i], *types[i]);
    }
    if (scanner_.take_word("from")) {
      scanner_.expect('[');
      while (!scanner_.take(']')) {
        if (!graph_.node(id).sources.empty()) scanner_.expect(',');
        graph_.sources(id).push_back(scanner_.string());
      }
    }
    if (scanner_.take_word("because")) graph_.set_reason(id, scanner_.string());
  }

  std::vector<ValueId> arguments() {
    std::vector<ValueId> inputs;
    scanner_.expect('(');
    while (!scanner_.take(')')) {
      if (!inputs.empty()) scanner_.expect(',');
      if (scanner_.take_word("_")) {
        inputs.push_back(kNone);
        continue;
      }
      const std::string name = value_name();
      const ValueId id = graph_.find_value(name);
      if (id == kNone) scanner_.error(fmt::format("'%{}' is used before it is defined", name));
      inputs.push_back(id);
    }
    return inputs;
  }

  Attributes attributes() {
    Attributes result;
    while (!scanner_.take('}')) {
      if (!result.empty()) scanner_.expect(',');
      const std::string name = scanner_.word();
      scanner_.expect('=');
      result.set(name, attribute());
    }
    return result;
  }

  Attribute attribute() {
    const char c = scanner_.peek();
    if (c == '"') return scanner_.string();
    if (scanner_.take('[')) return list();
    const std::string_view text = scanner_.number();
    if (const std::optional<DType> dtype = dtype_named(text)) return tensor_attribute(*dtype);
    if (looks_like_float(text)) return to_number<float>(scanner_, text);
    return to_number<int64_t>(scanner_, text);
  }

  Attribute tensor_attribute(DType dtype) {
    Shape shape;
    scanner_.expect('[');
    while (!scanner_.take(']')) {
      if (!shape.empty()) scanner_.expect(',');
      shape.push_back(to_number<int64_t>(scanner_, scanner_.number()));
    }
    return content(dtype, shape);
  }

  Attribute list() {
    std::vector<int64_t> ints;
    std::vector<float> floats;
    std::vector<std::string> texts;
    for (bool first = true; !scanner_.take(']'); first = false) {
      if (!first) scanner_.expect(',');
      if (scanner_.peek() == '"') {
        texts.push_back(scanner_.string());
        continue;
      }
      const std::string_view text = scanner_.number();
      if (looks_like_float(text)) {
        floats.push_back(to_number<float>(scanner_, text));
      } else {
        ints.push_back(to_number<int64_t>(scanner_, text));
      }
    }
    if (!texts.empty()) return texts;
    if (!floats.empty() && !ints.empty()) scanner_.error("a list mixes integers and floats");
    if (!floats.empty()) return floats;
    return ints;
  }

  void check_all_defined() const {
    if (graph_.outputs().empty()) scanner_.error("the graph has no output");
  }

  Scanner scanner_;
  const ConstantLoader& load_;
  Graph graph_;
};

}  // namespace

Graph parse(std::string_view text, const ConstantLoader& load) { return Parser(text, load).parse(); }

}  // namespace kvant::ir
