# SPDX-License-Identifier: Apache-2.0
kvant_module(backends DEPS ops LIBRARIES dnnl gomp)
