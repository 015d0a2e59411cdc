# SPDX-License-Identifier: Apache-2.0
kvant_module(engine DEPS ops)
# Its Engine::State is made of types of an anonymous namespace, which a joined file may not do.
set_source_files_properties(${PROJECT_SOURCE_DIR}/src/engine/run/executor.cc PROPERTIES SKIP_UNITY_BUILD_INCLUSION ON)
