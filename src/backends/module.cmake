# SPDX-License-Identifier: Apache-2.0
kvant_module(backends DEPS engine LIBRARIES dnnl gomp)
