// SPDX-License-Identifier: Apache-2.0
#include <fmt/ranges.h>

#include <cmath>
#include <limits>

#include "base/error.h"
#include "ir/text.h"

namespace kvant::ir {
namespace {

bool is_plain(std::string_view text) {
  if (text.empty()) return false;
  for (const char c : text) {
    const bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                       c == '_' || c == '.' || c == '/' || c == '-';
    if (!plain) return false;
  }
  return true;
}

std::string quoted(std::string_view text) {
  std::string result = "\"";
  for (const char c : text) {
    if (c == '"' || c == '\\') result += '\\';
    if (c == '\n') {
      result += "\\n";
    } else if (static_cast<unsigned char>(c) < 0x20) {
      result += fmt::format("\\x{:02x}", static_cast<unsigned char>(c));
    } else {
      result += c;
    }
  }
  return result + '"';
}

std::string value_name(std::string_view name) {
  return is_plain(name) && name != "_" ? fmt::format("%{}", name) : "%" + quoted(name);
}

std::string number(double x) {
  if (std::isnan(x)) return "nan";
  if (std::isinf(x)) return x > 0 ? "inf" : "-inf";
  return fmt::format("{}", x);
}
// Shortest text that reads back to the same float.
std::string number(float x) {
  if (std::isnan(x) || std::isinf(x)) return number(static_cast<double>(x));
  const std::string text = fmt::format("{}", x);
  // An integer attribute and a float attribute must look different.
  return text.find_first_of(".e") == std::string::npos ? text + ".0" : text;
}

template <class T>
std::string element(T x) {
  if constexpr (std::is_same_v<T, Half> || std::is_same_v<T, BFloat16>) {
    return number(static_cast<float>(x));
  } else if constexpr (std::is_floating_point_v<T>) {
    return number(x);
  } else if constexpr (std::is_same_v<T, bool>) {
    return x ? "1" : "0";
  } else {
    return fmt::format("{}", static_cast<std::conditional_t<std::is_signed_v<T>, int64_t, uint64_t>>(x));
  }
}

std::string elements(const Tensor& tensor) {
  std::string text = "{";
  visit_dtype(tensor.dtype(), [&]<class T>() {
    for (const T x : tensor.data<T>()) {
      if (text.size() > 1) text += ", ";
      text += element(x);
    }
  });
  return text + "}";
}

std::string shape_text(const Shape& shape, const std::vector<std::string>& dim_names) {
  std::vector<std::string> dims;
  for (size_t i = 0; i < shape.size(); ++i) {
    const bool named = i < dim_names.size() && !dim_names[i].empty();
    dims.push_back(shape[i] != kUnknownDim ? std::to_string(shape[i])
                                           : (named && is_plain(dim_names[i]) ? dim_names[i] : "?"));
  }
  return fmt::format("[{}]", fmt::join(dims, ","));
}

std::string type_text(const Type& type, const std::vector<std::string>& dim_names) {
  return std::string(name(type.dtype)) + (type.shape ? shape_text(*type.shape, dim_names) : "[*]");
}

class Printer {
 public:
  Printer(const Graph& graph, const PrintOptions& options) : graph_(graph), options_(options) {}

  std::string graph() {
    std::string text = fmt::format("graph {} {{\n", quoted(graph_.name));
    for (const auto& [key, value] : graph_.metadata)
      text += fmt::format("  meta {} = {}\n", quoted(key), quoted(value));
    for (const ValueId id : graph_.inputs()) {
      const Value& value = graph_.value(id);
      text += fmt::format("  input {}: {}\n", value_name(value.name), type_text(value.type, value.dim_names));
    }
    for (size_t i = 0; i < graph_.value_capacity(); ++i) {
      const Value& value = graph_.value(static_cast<ValueId>(i));
      if (value.erased || !value.constant) continue;
      text += fmt::format("  const {}: {} = {}\n", value_name(value.name), type_text(value.type, {}),
                          content(*value.constant));
    }
    for (const NodeId id : graph_.topological_order()) text += "  " + node(id) + "\n";
    for (const ValueId id : graph_.outputs())
      text += fmt::format("  output {}\n", value_name(graph_.value(id).name));
    return text + "}\n";
  }

  std::string node(NodeId id) {
    const Node& node = graph_.node(id);
    std::vector<std::string> outputs, inputs;
    for (const ValueId output : node.outputs) {
      outputs.push_back(output == kNone ? "_" : value_name(graph_.value(output).name) + node_type(output));
    }
    for (const ValueId input : node.inputs)
      inputs.push_back(input == kNone ? "_" : value_name(graph_.value(input).name));
    std::string text = fmt::format("{} = {} {} ({})", fmt::join(outputs, ", "), node.op, quoted(node.name),
                                   fmt::join(inputs, ", "));
    if (!node.attributes.empty()) text += " " + attributes(node.attributes);
    if (!node.sources.empty()) {
      std::vector<std::string> sources;
      for (const std::string& source : node.sources) sources.push_back(quoted(source));
      text += fmt::format(" from [{}]", fmt::join(sources, ", "));
    }
    if (!node.reason.empty()) text += " because " + quoted(node.reason);
    return text;
  }

 private:
  std::string node_type(ValueId id) const {
    if (!options_.types) return "";
    const Type& type = graph_.value(id).type;
    return ": " + type_text(type, graph_.value(id).dim_names);
  }

  std::string content(const Tensor& tensor) const {
    if (tensor.size() <= options_.max_elements) return elements(tensor);
    if (options_.store) return fmt::format("@{}", options_.store(tensor));
    return "{...}";
  }

  std::string attributes(const Attributes& attributes) const {
    std::vector<std::string> entries;
    for (const auto& [name, value] : attributes)
      entries.push_back(fmt::format("{} = {}", name, attribute(value)));
    return fmt::format("{{{}}}", fmt::join(entries, ", "));
  }

  std::string attribute(const Attribute& attribute) const {
    struct Visitor {
      const Printer& printer;
      std::string operator()(int64_t x) const { return std::to_string(x); }
      std::string operator()(float x) const { return number(x); }
      std::string operator()(const std::string& x) const { return quoted(x); }
      std::string operator()(const std::vector<int64_t>& x) const {
        return fmt::format("[{}]", fmt::join(x, ", "));
      }
      std::string operator()(const std::vector<float>& x) const {
        std::vector<std::string> items;
        for (const float f : x) items.push_back(number(f));
        return fmt::format("[{}]", fmt::join(items, ", "));
      }
      std::string operator()(const std::vector<std::string>& x) const {
        std::vector<std::string> items;
        for (const std::string& s : x) items.push_back(quoted(s));
        return fmt::format("[{}]", fmt::join(items, ", "));
      }
      std::string operator()(const Tensor& x) const {
        return fmt::format("{} {}", type_text({x.dtype(), x.shape()}, {}), printer.content(x));
      }
    };
    return std::visit(Visitor{*this}, attribute);
  }

  const Graph& graph_;
  const PrintOptions& options_;
};

}  // namespace

std::string print(const Graph& graph, const PrintOptions& options) { return Printer(graph, options).graph(); }
std::string print(const Graph& graph, NodeId node) {
  const PrintOptions options;
  return Printer(graph, options).node(node);
}

}  // namespace kvant::ir
