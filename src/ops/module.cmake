# SPDX-License-Identifier: Apache-2.0
kvant_module(ops DEPS ir)
# The loops in which the interpreter spends its time; the rest of the folder may be at -O2 (kvant_optimize). A precompiled
# header brings its own level with it.
foreach(file convolution panel_product)
  set_source_files_properties(${PROJECT_SOURCE_DIR}/src/ops/${file}.cc PROPERTIES COMPILE_OPTIONS "${KVANT_LOOP_FLAGS}"
                              SKIP_PRECOMPILE_HEADERS ON)
endforeach()
