# SPDX-License-Identifier: Apache-2.0
kvant_module(report DEPS ir)
