// SPDX-License-Identifier: Apache-2.0
// QSqueezeExcite. Packed constants: the blobs of the two products, and the shapes of their weights (i64).
#include "backends/cuda/kernels/excite/excite.h"
#include "backends/cuda/parts.h"
#include "ops/squeeze_excite.h"

namespace kvant::backends::cuda {
namespace {

using ops::ExcitePart;

constexpr size_t kPartWeight = 1, kPartTable = 5;

// A part as a node of its own, with what its view refers to.
struct PartView {
  ir::Node node;
  engine::NodeView view;
  PartView(const engine::NodeView& whole, ExcitePart part, std::vector<ir::Type> inputs, ir::Type output)
      : node(ops::excite_part(whole.node, part)),
        view{node, std::move(inputs), {std::move(output)}, {}, whole.threads} {}
  PartView(const PartView&) = delete;
};

// At build (all constants there) or at load (`shapes`: of the weights).
ExciteDesc describe_excite(const engine::NodeView& whole, const std::vector<Shape>& shapes) {
  require(whole, whole.outputs.size() == 1 && whole.inputs.size() >= 7, "operands are missing");
  require(whole, whole.constants.empty() || whole.constants[0] == nullptr, "x is constant");
  const std::vector<const Tensor*> unknown(whole.inputs.size(), nullptr);
  const std::array<ir::Type, 4> types = ops::excite_types({whole.node, whole.inputs, unknown});
  require(whole, types[3].dtype == whole.outputs[0].dtype && types[3].shape == whole.outputs[0].shape,
          "the result has another type");
  ExciteDesc desc;
  const PartView pool(whole, ExcitePart::Pool, {whole.inputs[0]}, types[0]);
  desc.pool = describe_pool(pool.view);
  for (const ExcitePart part : {ExcitePart::Reduce, ExcitePart::Expand}) {
    const auto at = static_cast<size_t>(part);
    std::vector<ir::Type> inputs(kPartTable + 1);
    std::vector<const Tensor*> constants(kPartTable + 1, nullptr);
    inputs[0] = types[at - 1];
    for (const size_t i : {size_t{1}, size_t{2}, size_t{3}, kPartTable}) {
      const size_t from = ops::excite_input(part, i);
      if (from >= whole.inputs.size()) continue;
      inputs[i] = whole.inputs[from];
      if (from < whole.constants.size()) constants[i] = whole.constants[from];
    }
    PartView product(whole, part, std::move(inputs), types[at]);
    product.view.constants = std::move(constants);
    ConvDesc& described = part == ExcitePart::Reduce ? desc.reduce : desc.expand;
    described =
        shapes.empty() ? describe_constants(product.view) : describe_conv(product.view, shapes[at - 1]);
  }
  const PartView scale(whole, ExcitePart::Scale, {whole.inputs[0], types[2]}, types[3]);
  desc.scale = describe_pair(scale.view, Operands(scale.view)).desc;
  const std::string why = why_not_excite(desc);
  require(whole, why.empty(), why);
  return desc;
}

std::vector<std::string> excite_tactics_of(const engine::NodeView& view, int sm, std::string& why) {
  return excite_tactics(describe_excite(view, {}), sm, why);
}

std::vector<Tensor> pack_excite_node(const engine::NodeView& view, std::string_view) {
  const ExciteDesc desc = describe_excite(view, {});
  std::vector<Tensor> packed;
  for (const ExcitePart part : {ExcitePart::Reduce, ExcitePart::Expand}) {
    const ConvDesc& product = part == ExcitePart::Reduce ? desc.reduce : desc.expand;
    const auto constant = [&](size_t i) -> const Tensor& {
      return *view.constants[ops::excite_input(part, i)];
    };
    Tensor blob(DType::UInt8, {static_cast<int64_t>(excite_packed_bytes(product))});
    pack_excite(product,
                {constant(kPartWeight).data<int8_t>().data(), constant(2).data<float>().data(),
                 constant(3).data<float>().data(),
                 product.table ? reinterpret_cast<const uint8_t*>(constant(kPartTable).raw()) : nullptr},
                blob.mutable_raw());
    packed.push_back(std::move(blob));
    packed.push_back(Tensor::vector(constant(kPartWeight).shape()));
  }
  return packed;
}

std::unique_ptr<engine::Step> load_excite(const engine::NodeView& view, std::string_view tactic,
                                          std::vector<Tensor> packed) {
  require(view, packed.size() == 4,
          fmt::format("{} packed constants where 4 belong; build the plan anew", packed.size()));
  for (const size_t i : {size_t{1}, size_t{3}}) {
    require(view, packed[i].dtype() == DType::Int64 && packed[i].rank() == 1 && packed[i].size() <= 4,
            "a packed weight has no shape");
  }
  const ExciteDesc desc = describe_excite(view, {packed[1].to_ints(), packed[3].to_ints()});
  for (const auto& [blob, product] : {std::pair{&packed[0], &desc.reduce}, {&packed[2], &desc.expand}}) {
    require(view, blob->byte_size() == excite_packed_bytes(*product),
            fmt::format("{} bytes of packed weights where {} belong", blob->byte_size(),
                        excite_packed_bytes(*product)));
  }
  excite_launches(desc, tactic, {});  // an unknown tactic fails here
  const PoolShape& s = desc.pool.shape;
  // The averages stand behind the weights; what lies there before a run is of no importance.
  constexpr size_t kReduce = 1, kExpand = 2, kPooled = 3;
  std::vector<std::optional<Tensor>> constants(kPooled + 1);
  constants[kReduce] = std::move(packed[0]);
  constants[kExpand] = std::move(packed[2]);
  constants[kPooled] = Tensor(DType::UInt8, {s.n * s.c});
  return launch_step(std::move(constants),
                     [desc, name = std::string(tactic)](const Places& p, const auto& launch) {
                       const ExcitePointers pointers{.reduce = p.in(kReduce),
                                                     .expand = p.in(kExpand),
                                                     .x = p.in(0),
                                                     .pooled = const_cast<std::byte*>(p.in(kPooled)),
                                                     .y = p.out()};
                       for (const Launch& part : excite_launches(desc, name, pointers)) launch(part);
                     });
}

}  // namespace

Binding bind_qsqueeze_excite() {
  return {"QSqueezeExcite", excite_tactics_of, pack_excite_node, load_excite};
}

}  // namespace kvant::backends::cuda
