// SPDX-License-Identifier: Apache-2.0
#include <map>
#include <string>

#include "ops/real_values.h"
#include "ops/shape_rules.h"

namespace kvant::ops {
namespace {

// Subscripts as labels; the dimensions of an ellipsis are labelled '0', '1' ... counted from the right.
struct Equation {
  std::vector<std::string> terms;
  std::string result;
};

std::string expand(const std::string& term, size_t ellipsis) {
  const size_t dots = term.find("...");
  std::string result = term;
  if (dots == std::string::npos) return result;
  std::string labels;
  for (size_t i = ellipsis; i-- > 0;) labels += static_cast<char>('0' + i);
  return result.replace(dots, 3, labels);
}

void check_labels(const std::string& term) {
  for (const char c : term)
    if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9')))
      fail("Einsum: '{}' is not a subscript", term);
}

// Without "->" the result holds the ellipsis, then the labels that occur once, in alphabetical order.
std::string implied_result(const std::vector<std::string>& terms, size_t ellipsis) {
  std::map<char, int> counts;
  for (const std::string& term : terms)
    for (const char c : term) ++counts[c];
  std::string result = expand("...", ellipsis);
  for (const auto& [label, count] : counts)
    if (count == 1 && (label < '0' || label > '9')) result += label;
  return result;
}

Equation parse_equation(const ir::Attributes& attributes, const std::vector<size_t>& ranks) {
  std::string text = attributes.text("equation", "");
  std::erase(text, ' ');
  const size_t arrow = text.find("->");
  const std::string left = text.substr(0, arrow);
  Equation equation;
  size_t begin = 0, ellipsis = 0;
  for (size_t comma = 0; comma != std::string::npos; begin = comma + 1) {
    comma = left.find(',', begin);
    equation.terms.push_back(left.substr(begin, comma == std::string::npos ? comma : comma - begin));
  }
  if (equation.terms.size() != ranks.size())
    fail("Einsum: '{}' has {} subscripts for {} inputs", text, equation.terms.size(), ranks.size());
  for (size_t i = 0; i < ranks.size(); ++i) {
    std::string& term = equation.terms[i];
    const bool dotted = term.find("...") != std::string::npos;
    const size_t own = term.size() - (dotted ? 3 : 0);
    if (own > ranks[i] || (!dotted && own != ranks[i]) || ranks[i] - own > 10)
      fail("Einsum: subscript '{}' does not fit an input of {} dimensions", term, ranks[i]);
    if (dotted) ellipsis = std::max(ellipsis, ranks[i] - own);
    term = expand(term, ranks[i] - own);
    check_labels(term);
  }
  equation.result = arrow == std::string::npos ? implied_result(equation.terms, ellipsis)
                                               : expand(text.substr(arrow + 2), ellipsis);
  check_labels(equation.result);
  return equation;
}

// Size of every label; unknown where no input knows it.
std::map<char, int64_t> sizes_of(const Equation& equation, const std::vector<Shape>& shapes) {
  std::map<char, int64_t> sizes;
  for (size_t i = 0; i < shapes.size(); ++i)
    for (size_t d = 0; d < shapes[i].size(); ++d) {
      int64_t& size = sizes.try_emplace(equation.terms[i][d], kUnknownDim).first->second;
      const int64_t own = shapes[i][d];
      if (size == kUnknownDim || size == 1) size = own == kUnknownDim ? size : own;
      if (own != kUnknownDim && own != 1 && own != size)
        fail("Einsum: label '{}' is {} and {}", equation.terms[i][d], size, own);
    }
  return sizes;
}

Shape result_shape(const Equation& equation, const std::map<char, int64_t>& sizes) {
  Shape shape;
  for (const char label : equation.result) {
    if (!sizes.contains(label)) fail("Einsum: result label '{}' is in no input", label);
    if (equation.result.find(label) != equation.result.rfind(label))
      fail("Einsum: result label '{}' is there twice", label);
    shape.push_back(sizes.at(label));
  }
  return shape;
}

std::vector<Type> infer_einsum(const ir::InferArgs& args) {
  std::vector<size_t> ranks;
  std::vector<Shape> shapes;
  for (const Type& input : args.inputs) {
    require_same_dtype("Einsum", args.inputs[0].dtype, input.dtype);
    if (!input.shape) return {{args.inputs[0].dtype, std::nullopt}};
    ranks.push_back(input.shape->size());
    shapes.push_back(*input.shape);
  }
  const Equation equation = parse_equation(args.attributes(), ranks);
  return {{args.inputs[0].dtype, result_shape(equation, sizes_of(equation, shapes))}};
}

// Step in `term` (of a tensor of this shape) for one step of `label`: diagonals add up, broadcast dimensions
// stay.
int64_t step_of(const std::string& term, const Shape& shape, char label) {
  const std::vector<int64_t> strides = strides_of(shape);
  int64_t step = 0;
  for (size_t d = 0; d < term.size(); ++d)
    if (term[d] == label && shape[d] != 1) step += strides[d];
  return step;
}

std::vector<Tensor> evaluate_einsum(const ir::EvalArgs& args) {
  std::vector<size_t> ranks;
  std::vector<Shape> shapes;
  std::vector<std::vector<double>> values;
  for (const Tensor* input : args.inputs) {
    if (input == nullptr) fail("Einsum: every input is needed");
    ranks.push_back(input->rank());
    shapes.push_back(input->shape());
    values.push_back(to_doubles(*input));
  }
  const Equation equation = parse_equation(args.attributes(), ranks);
  const std::map<char, int64_t> sizes = sizes_of(equation, shapes);
  const Shape shape = checked_result("Einsum", result_shape(equation, sizes));
  std::vector<double> result(static_cast<size_t>(element_count(shape)), 0.0);
  // One loop over all labels; offsets of every input and of the result move with them.
  std::string labels;
  Shape extents;
  for (const auto& [label, size] : sizes) {
    labels += label;
    extents.push_back(size);
  }
  const int64_t total = element_count(extents);
  std::vector<std::vector<int64_t>> steps;
  for (const char label : labels) {
    std::vector<int64_t> step;
    for (size_t i = 0; i < shapes.size(); ++i) step.push_back(step_of(equation.terms[i], shapes[i], label));
    const size_t at = equation.result.find(label);
    step.push_back(at == std::string::npos ? 0 : strides_of(shape)[at]);
    steps.push_back(std::move(step));
  }
  std::vector<int64_t> index(labels.size(), 0), offsets(shapes.size() + 1, 0);
  for (int64_t n = 0; n < total; ++n) {
    double product = 1;
    for (size_t i = 0; i < values.size(); ++i) product *= values[i][static_cast<size_t>(offsets[i])];
    result[static_cast<size_t>(offsets.back())] += product;
    for (size_t d = labels.size(); d-- > 0;) {
      for (size_t i = 0; i < offsets.size(); ++i) offsets[i] += steps[d][i];
      if (++index[d] < extents[d]) break;
      for (size_t i = 0; i < offsets.size(); ++i) offsets[i] -= steps[d][i] * extents[d];
      index[d] = 0;
    }
  }
  const DType dtype = args.in(0).dtype();
  if (is_float(dtype)) return {from_doubles(dtype, shape, result)};
  return {from_doubles(DType::Float64, shape, result).cast(dtype)};
}

}  // namespace

ir::OpDef einsum() {
  return {.name = "Einsum",
          .max_inputs = ir::kVariadic,
          .attributes = {{"equation", ir::AttributeKind::Text, true}},
          .infer = infer_einsum,
          .evaluate = evaluate_einsum};
}

}  // namespace kvant::ops
