// What the texts of a configuration file may be.
#pragma once

#include <cstddef>
#include <string_view>

#include "config_reader.h"

namespace outboxx {

inline constexpr std::size_t kIdentifierBytesMax = 63;  // PostgreSQL's NAMEDATALEN - 1
inline constexpr std::size_t kTopicBytesMax = 249;      // Kafka's Topic.MAX_NAME_LENGTH

// The texts are not empty.
[[nodiscard]] bool is_identifier(std::string_view text);
[[nodiscard]] bool is_stream_name(std::string_view text);
[[nodiscard]] bool is_topic(std::string_view text);
[[nodiscard]] bool is_table_name(std::string_view text);
[[nodiscard]] bool is_ip_address(std::string_view text);
[[nodiscard]] bool is_operation(std::string_view text);
[[nodiscard]] bool is_environment_variable(std::string_view text);
// Upper case, digits and underscores: a password that was put where its variable's name belongs is unlikely to look like it.
[[nodiscard]] bool is_conventional_variable(std::string_view text);

inline constexpr TextRule kIdentifierRule{.allowed = "1 to 63 letters, digits and underscores, the first no digit",
                                          .length_max = kIdentifierBytesMax,
                                          .is_valid = is_identifier};
// The value is not shown: a connection string or a password may stand here by mistake.
inline constexpr TextRule kVariableRule{.allowed = "the name (1 to 63 bytes, no \"=\") of an environment variable",
                                        .length_max = 63,
                                        .is_valid = is_environment_variable,
                                        .is_shown = false};
inline constexpr TextRule kBrokerRule{.allowed = "a string of 1 to 253 bytes, \"host:port\"", .length_max = 253};
inline constexpr TextRule kPathRule{.allowed = "the path of a file, 1 to 2048 bytes", .length_max = 2048};
inline constexpr TextRule kSecretPathRule{
    .allowed = "the path of a file, 1 to 2048 bytes", .length_max = 2048, .is_shown = false};
inline constexpr TextRule kUserNameRule{.allowed = "a string of 1 to 253 bytes", .length_max = 253, .is_shown = false};
inline constexpr TextRule kAddressRule{.allowed = "an IP address", .length_max = 45, .is_valid = is_ip_address};
inline constexpr TextRule kStreamNameRule{
    .allowed = "1 to 63 letters, digits, underscores and hyphens, the first a letter or underscore",
    .length_max = 63,
    .is_valid = is_stream_name};
inline constexpr TextRule kTableRule{.allowed = "\"table\" or \"schema.table\", each name 1 to 63 bytes",
                                     .length_max = 2 * kIdentifierBytesMax + 1,
                                     .is_valid = is_table_name,
                                     .is_database_name = true};
inline constexpr TextRule kOperationRule{
    .allowed = "\"insert\", \"update\", \"delete\" or \"read\"", .length_max = 63, .is_valid = is_operation};
inline constexpr TextRule kTopicRule{.allowed = "a topic name: 1 to 249 letters, digits, dots, underscores and hyphens",
                                     .length_max = kTopicBytesMax,
                                     .is_valid = is_topic};
inline constexpr TextRule kPipelineRule{
    .allowed = "1 to 200 letters, digits, dots, underscores and hyphens", .length_max = 200, .is_valid = is_topic};
inline constexpr TextRule kColumnRule{
    .allowed = "a column name of 1 to 63 bytes", .length_max = kIdentifierBytesMax, .is_database_name = true};

}  // namespace outboxx
